"""The adapters that a server at another address can attach."""

from __future__ import annotations

from collections.abc import Set

from adapter_store.calibration import NOT_CALIBRATED, Calibration
from adapter_store.scope import Scope
from engine.adapters import AdapterLibrary


class ServedAdapters:
    """This machine's adapters of the base, and those that only the server has."""

    def __init__(self, library: AdapterLibrary, served: Set[str]) -> None:
        self._library = library
        self._served = served

    def names(self) -> list[str]:
        """Ids that a request may carry."""
        return sorted({*self._library.names(), *self._served})

    def fingerprint(self, name: str) -> str:
        """Hash of the adapter's files; of one that only the server has, that it is there."""
        return f"served as {name}" if self._only_served(name) else self._library.fingerprint(name)

    def scope(self, name: str) -> Scope:
        """What its record says; one that only the server has may do everything."""
        return Scope() if self._only_served(name) else self._library.scope(name)

    def task(self, name: str) -> str:
        """What its record says; of one that only the server has nothing is known."""
        return "" if self._only_served(name) else self._library.task(name)

    def calibration(self, name: str) -> Calibration:
        """What its folder says; of one that only the server has, nothing."""
        return NOT_CALIBRATED if self._only_served(name) else self._library.calibration(name)

    def loaded(self, name: str) -> bool:
        """The server knows."""
        return True

    def _only_served(self, name: str) -> bool:
        return name in self._served and name not in self._library.names()
