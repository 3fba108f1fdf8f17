"""How far a step is that works part by part, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.events import Progress

SURE_SECONDS, SURE_PARTS = 5.0, 2  # of work, before which nothing is said of the rest


class Pace:
    """Counts the parts of a step, and tells by those that are done what the rest will take."""

    def __init__(self, index: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._index, self._clock = index, clock
        self._first, self._began = 0, 0.0

    def begins(self, number: int) -> Progress:
        """The part of this number, from 1 on, is begun; those before the first were not ours."""
        now = self._clock()
        if not self._first:
            self._first, self._began = number, now
        done, elapsed = number - self._first, now - self._began
        sure = done >= SURE_PARTS and elapsed >= SURE_SECONDS
        left = elapsed / done * (self.total - number + 1) if sure else None
        return Progress(self._index, "part", number, self.total, seconds_left=left)
