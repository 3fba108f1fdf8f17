"""Put an engine together from settings."""

from __future__ import annotations

from core.errors import SettingsError
from core.settings import Settings
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import Engine, ScoringEngine
from engine.load_base import load_base
from engine.starter_store import Progress

BASE_SETTINGS = ("base", "revision", "quantization", "dtype", "device", "context_tokens")


def load_engine(settings: Settings, progress: Progress = lambda line: None) -> Engine:
    """The engine that the settings name: here, at an address, or on a GPU lent to each request.

    Raises:
        SetupError, SettingsError: see `load_local`, `engine.remote` and `engine.zerogpu`.
    """
    if settings.engine == "openai":
        from engine.remote import RemoteEngine  # its client takes a second to import

        return RemoteEngine(settings)
    return _load_own(settings, progress)


def load_scoring_engine(
    settings: Settings, progress: Progress = lambda line: None
) -> ScoringEngine:
    """The engine that the settings name, with the base at hand.

    Raises:
        SettingsError: it is a server's, which takes no token ids.
        SetupError, SettingsError: see `load_engine`.
    """
    if settings.engine == "openai":
        raise SettingsError("A server scores no token ids: judge with the local engine.")
    return _load_own(settings, progress)


def load_fallback(settings: Settings, progress: Progress = lambda line: None) -> TorchEngine | None:
    """What answers here while the server is away, if the settings name anything.

    It is loaded at the start: a first request without the server should not wait for it, nor a
    download fail then.

    Raises:
        SettingsError: there is no server to stand in for.
        SetupError: see `load_base`.
    """
    if settings.stand_in == "none":
        return None
    if settings.engine == "local":
        raise SettingsError(f"stand_in={settings.stand_in} needs engine=openai and its address=.")
    progress("Loading the starter model, to stand in for the server")
    own = {name: Settings.model_fields[name].default for name in BASE_SETTINGS}  # the starter's
    return load_local(settings.model_copy(update=own), progress)


def load_local(settings: Settings, progress: Progress = lambda line: None) -> TorchEngine:
    """Load the base that the settings name and the library of its adapters.

    Raises:
        SetupError, SettingsError: see `load_base`.
    """
    base = load_base(settings, progress)
    return TorchEngine(
        base, library_of(base), settings.max_running, settings.max_waiting, settings.time_limit
    )


def _load_own(settings: Settings, progress: Progress) -> ScoringEngine:
    """The engine in this process, or in those that ZeroGPU forks from it."""
    if settings.engine == "zero":
        from engine.zerogpu import load_zero  # its package is there on ZeroGPU alone

        return load_zero(settings, progress)
    return load_local(settings, progress)
