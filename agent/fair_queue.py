"""The queue before the engine: visitors are answered in turn, however much each of them asks.

Each ticket has a round: the one after that of the visitor's last ticket in the queue or, with none,
after that of the ticket which was let in last. Rounds are let in one after another, and the tickets
of a round as they came. So a visitor's first ticket is never overtaken, and none waits for ever.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.errors import Draining, EngineBusy, TooMany

STOP_POLL_SECONDS = 0.2  # after so long somebody who waits looks whether to stop


@dataclass(order=True)
class Ticket:
    """One turn in the queue, ordered as turns are let in."""

    round: int
    number: int
    visitor: str = field(compare=False)


class FairQueue:
    """Lets so many turns run at one time, and the others wait. Safe to use from many threads.

    Attributes:
        draining: set at the end of the process: nobody is admitted any more.
        running: turns that run.
    """

    def __init__(self, max_running: int, max_waiting: int, max_per_visitor: int) -> None:
        """How many may run, may wait behind them, and may be of one visitor, waiting or not."""
        self.draining = False
        self.running = 0
        self._max_running, self._max_admitted = max_running, max_running + max_waiting
        self._max_per_visitor = max_per_visitor
        self._admitted: Counter[str] = Counter()  # by visitor
        self._last_round = 0  # of the ticket that was let in last
        self._tickets = 0  # there have been
        self._waiting: list[Ticket] = []
        self._moved = threading.Condition()

    @property
    def waiting(self) -> int:
        """Turns that wait."""
        return len(self._waiting)

    @property
    def admitted(self) -> int:
        """Those who run, wait, or only plan."""
        return self._admitted.total()

    @property
    def full(self) -> bool:
        """Whether nobody more can be admitted."""
        return self.admitted >= self._max_admitted

    @contextmanager
    def admit(self, visitor: str) -> Iterator[None]:
        """Count as one of the visitor's until the block ends, without waiting for others.

        Raises:
            Draining, TooMany, EngineBusy: there is no room, now or for this visitor.
        """
        with self._moved:
            self._require_room(visitor)
            self._admitted[visitor] += 1
        try:
            yield
        finally:
            with self._moved:
                self._admitted[visitor] -= 1
                if not self._admitted[visitor]:
                    del self._admitted[visitor]

    @contextmanager
    def enqueue(self, visitor: str, stop: threading.Event) -> Iterator[Iterator[int]]:
        """Be in the queue, and then run, until the block ends: first iterate over what this gives.

        That yields the position in the queue, 1 being next, whenever it is another, and ends when
        the turn may run or `stop` is set. Raises as `admit`.
        """
        with self.admit(visitor):
            ticket = self._draw_ticket(visitor)
            try:
                yield self._wait(ticket, stop)
            finally:
                self._leave(ticket)

    def _require_room(self, visitor: str) -> None:
        if self.draining:
            raise Draining("The server is shutting down. Send the request again in a minute.")
        if self._admitted[visitor] >= self._max_per_visitor:
            raise TooMany(
                f"{self._max_per_visitor} of your requests are running or waiting, which is the "
                "limit. Wait until one has ended."
            )
        if self.full:
            raise EngineBusy(
                f"{self._max_admitted} requests are running or waiting. Try again in a minute."
            )

    def _draw_ticket(self, visitor: str) -> Ticket:
        with self._moved:
            self._tickets += 1
            own = (ticket.round for ticket in self._waiting if ticket.visitor == visitor)
            ticket = Ticket(max(own, default=self._last_round) + 1, self._tickets, visitor)
            insort(self._waiting, ticket)
            self._let_in()
            return ticket

    def _wait(self, ticket: Ticket, stop: threading.Event) -> Iterator[int]:
        shown = 0
        while not stop.is_set():
            with self._moved:
                if shown and self._position(ticket) == shown:
                    self._moved.wait(STOP_POLL_SECONDS)
                position = self._position(ticket)
            if not position:
                return
            if position != shown:
                shown = position
                yield shown

    def _position(self, ticket: Ticket) -> int:
        """Where the ticket is, 1 being next; 0 when it may run."""
        return self._waiting.index(ticket) + 1 if ticket in self._waiting else 0

    def _leave(self, ticket: Ticket) -> None:
        with self._moved:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            else:
                self.running -= 1
            self._let_in()
            self._moved.notify_all()

    def _let_in(self) -> None:
        while self._waiting and self.running < self._max_running:
            self._last_round = self._waiting.pop(0).round
            self.running += 1
