"""The line before the engine: visitors are answered in turn, however much each of them asks.

Each place has a round: the one after that of the visitor's last place in the line or, with none,
after that of the place which was let in last. Rounds are let in one after another, and the places
of a round as they came. So a visitor's first place is never overtaken, and none waits for ever.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.errors import Draining, EngineBusy, TooMany

PATIENCE = 0.2  # seconds after which somebody who waits looks whether to stop


@dataclass(order=True)
class Place:
    """One turn's place, ordered as places are let in."""

    round: int
    number: int
    visitor: str = field(compare=False)


class Line:
    """Lets so many turns run at one time, and the others wait. Safe to use from many threads.

    Attributes:
        draining: set at the end of the process: nobody comes in any more.
        running: turns that run.
    """

    def __init__(self, running: int, waiting: int, each: int) -> None:
        """How many may run, may wait behind them, and may be of one visitor, waiting or not."""
        self.draining = False
        self.running = 0
        self._most, self._all, self._each = running, running + waiting, each
        self._held: Counter[str] = Counter()  # places by visitor
        self._round = 0  # of the place that was let in last
        self._came = 0  # places there have been
        self._waiting: list[Place] = []
        self._moved = threading.Condition()

    @property
    def waiting(self) -> int:
        """Turns that wait."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Places that are taken: those that run, wait, or only plan."""
        return self._held.total()

    @property
    def full(self) -> bool:
        """Whether there is no place left."""
        return self.held >= self._all

    @contextmanager
    def place(self, visitor: str) -> Iterator[None]:
        """Hold one of the visitor's places.

        Raises:
            Draining, TooMany, EngineBusy: there is none, now or for this visitor.
        """
        with self._moved:
            if self.draining:
                raise Draining("The server is shutting down. Send the request again in a minute.")
            if self._held[visitor] >= self._each:
                raise TooMany(
                    f"{self._each} of your requests are running or waiting, which is the limit. "
                    "Wait until one has ended."
                )
            if self.full:
                raise EngineBusy(
                    f"{self._all} requests are running or waiting. Try again in a minute."
                )
            self._held[visitor] += 1
        try:
            yield
        finally:
            with self._moved:
                self._held[visitor] -= 1
                if not self._held[visitor]:
                    del self._held[visitor]

    @contextmanager
    def turn(self, visitor: str, stop: threading.Event) -> Iterator[Iterator[int]]:
        """Hold a place to run, which is to be waited for: iterate over what this gives.

        That yields the place in the line, 1 being next, whenever it is another, and ends when the
        turn may run or `stop` is set. Raises as `place`.
        """
        with self.place(visitor):
            place = self._line_up(visitor)
            try:
                yield self._wait(place, stop)
            finally:
                self._leave(place)

    def _line_up(self, visitor: str) -> Place:
        with self._moved:
            self._came += 1
            own = (place.round for place in self._waiting if place.visitor == visitor)
            place = Place(max(own, default=self._round) + 1, self._came, visitor)
            insort(self._waiting, place)
            self._let_in()
            return place

    def _wait(self, place: Place, stop: threading.Event) -> Iterator[int]:
        shown = 0
        while not stop.is_set():
            with self._moved:
                if shown and self._position(place) == shown:
                    self._moved.wait(PATIENCE)
                position = self._position(place)
            if not position:
                return
            if position != shown:
                shown = position
                yield shown

    def _position(self, place: Place) -> int:
        """Where the place is, 1 being next; 0 when it may run."""
        return self._waiting.index(place) + 1 if place in self._waiting else 0

    def _leave(self, place: Place) -> None:
        with self._moved:
            if place in self._waiting:
                self._waiting.remove(place)
            else:
                self.running -= 1
            self._let_in()
            self._moved.notify_all()

    def _let_in(self) -> None:
        while self._waiting and self.running < self._most:
            self._round = self._waiting.pop(0).round
            self.running += 1
