"""Whether a server is there: known before a request waits for it, and noticed when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.errors import EngineAway, PatchbayError

FRESH = 1.0  # seconds for which a server that was heard counts as there
BETWEEN = 2.0  # seconds between two looks for one that is away


class Presence:
    """Of one server. Safe to use from many threads."""

    def __init__(self, ping: Callable[[], None], meet: Callable[[], None]) -> None:
        """
        Args:
            ping: hears from the server soon, or raises EngineAway.
            meet: learns what it has when it is back; raises while it is not.
        """
        self._ping, self._meet = ping, meet
        self._heard = float("-inf")
        self._away: EngineAway | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def require(self) -> None:
        """Return while the server is there; it is asked where it was not heard just now.

        Raises:
            EngineAway: it is not.
        """
        if self._away:
            raise EngineAway(str(self._away))
        if time.monotonic() - self._heard > FRESH:
            self._ping()

    def heard(self) -> None:
        """It said something."""
        self._heard = time.monotonic()

    def lost(self, away: EngineAway) -> None:
        """It did not: from now on, look for it until it is back."""
        with self._lock:
            if not self._away and not self._closed.is_set():
                self._away = away
                threading.Thread(target=self._look, name="presence", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.is_set():
            try:
                self._ping()
                self._meet()
            except PatchbayError:
                self._closed.wait(BETWEEN)
            except RuntimeError:
                if not self._closed.is_set():
                    raise
            else:
                self._away = None
                return
