"""Whether a server is there: known before a request waits for it, and noticed when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.errors import EngineAway, PatchbayError

FRESH_SECONDS = 1.0  # for which a server that was heard counts as there
POLL_SECONDS = 2.0  # between two looks for one that is away


class Availability:
    """Of one server. Safe to use from many threads."""

    def __init__(self, ping: Callable[[], None], refresh: Callable[[], None]) -> None:
        """
        Args:
            ping: hears from the server soon, or raises EngineAway.
            refresh: learns what it has when it is back; raises while it is not.
        """
        self._ping, self._refresh = ping, refresh
        self._heard_at = float("-inf")
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
        if time.monotonic() - self._heard_at > FRESH_SECONDS:
            self._ping()

    def mark_heard(self) -> None:
        """It said something."""
        self._heard_at = time.monotonic()

    def mark_lost(self, away: EngineAway) -> None:
        """It did not: from now on, look for it until it is back."""
        with self._lock:
            if not self._away and not self._closed.is_set():
                self._away = away
                threading.Thread(target=self._poll, name="availability", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _poll(self) -> None:
        while not self._closed.is_set():
            try:
                self._ping()
                self._refresh()
            except PatchbayError:
                self._closed.wait(POLL_SECONDS)
            except RuntimeError:
                if not self._closed.is_set():
                    raise
            else:
                self._away = None
                return
