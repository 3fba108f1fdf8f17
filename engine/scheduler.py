"""Continuous batching: requests come and go while others run.

One worker thread gives every running request one forward pass in turn, so a newcomer waits for a
pass and not for an answer, and each request computes exactly what it would compute alone. The next
tokens of all answers are read together, by all cores; what else is to be read, prompts and labels,
is dealt out to the cores where the base allows it.

Rows of tables stand behind all other requests: they run where nothing else does, and now and then
in between, so that they come to an end on a busy day too. Many are read in one pass, which is left
off for whoever comes.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from core.errors import EngineBusy
from engine.base_model import Base
from engine.passes import PassLimit, Running, one_pass, read_tokens
from engine.prefix_cache import PrefixCache
from engine.scheduled_requests import ScheduledRequest

ROUNDS_AHEAD = 100  # that other requests have before rows of tables begin one
SLICES_AHEAD = 10  # and before these go on with it, up to where it may be left off again
ROWS_PER_CORE = 8  # that run
NO_LIMIT = PassLimit(math.inf, None)
ROWS_LIMIT = PassLimit(256, 1)  # more tokens are read no quicker together


class Scheduler:
    """Runs requests over one base. Safe to use from many threads.

    Attributes:
        passes: forward passes since the start, so that a test can see them stop.
        prefixes: KV caches of finished answers.
        max_rows: of tables that run at one time.
    """

    def __init__(self, base: Base, max_running: int, max_waiting: int) -> None:
        self.passes = 0
        self.prefixes = PrefixCache()
        self._base = base
        self._max_running, self._max_waiting = max_running, max_waiting
        self._waiting: deque[ScheduledRequest] = deque()
        self._waiting_rows: deque[ScheduledRequest] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._max_threads = base.model.max_threads
        self.max_rows = ROWS_PER_CORE * self._max_threads
        self._pool = ThreadPoolExecutor(self._max_threads)
        self._worker = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Requests that wait for others to end; rows of tables do not count."""
        return len(self._waiting)

    def submit(self, request: ScheduledRequest) -> None:
        """Have a request run; what comes of it is in its queue.

        Raises:
            EngineBusy: too many wait, or this is the end.
        """
        with self._changed:
            if self._closing:
                raise EngineBusy("The engine is shutting down.")
            if request.batch:  # of which a table has so many at a time
                self._waiting_rows.append(request)
            elif len(self._waiting) < self._max_waiting:
                self._waiting.append(request)
            else:
                raise EngineBusy(
                    f"{len(self._waiting)} requests are waiting already. Try again in a minute."
                )
            self._changed.notify()

    def close(self) -> None:
        """End every request and wait for the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._worker.join(timeout=30)
        self._pool.shutdown(wait=False)

    def _work(self) -> None:
        """The worker: admit what waits, then one pass for each that runs, round and round."""
        running: list[Running] = []
        rows: list[Running] = []
        begun: list[Iterator[None]] = []  # passes of rows that were left off
        ahead = 0  # rounds since rows read something
        while True:
            with self._changed:
                while not (running or rows or self._waiting or self._waiting_rows or self._closing):
                    self._changed.wait()
                if self._closing:
                    left = [one.request for one in (*running, *rows)]
                    left += [*self._waiting, *self._waiting_rows]
                    break
                self._admit(running, self._waiting, self._max_running)
                if not begun:
                    self._admit(rows, self._waiting_rows, self.max_rows)
            if running:
                self._advance(self._passes(running, NO_LIMIT), lambda: False)
                running = self._going(running)
                ahead += 1
            if rows and (not running or ahead >= (SLICES_AHEAD if begun else ROUNDS_AHEAD)):
                begun = self._advance(
                    begun or self._passes(rows, ROWS_LIMIT),
                    (lambda: True) if running else self._somebody_came,
                )
                rows, ahead = rows if begun else self._going(rows), 0
                if not rows:
                    self.prefixes.drop_spare()
        for request in left:
            request.out.put(EngineBusy("The engine is shutting down."))

    def _admit(self, running: list[Running], waiting: deque[ScheduledRequest], most: int) -> None:
        while waiting and len(running) < most:
            request = waiting.popleft()
            running.append(Running(request, request.run(self._base, self.prefixes)))

    def _somebody_came(self) -> bool:
        return self._closing or bool(self._waiting)

    def _passes(self, running: list[Running], limit: PassLimit) -> list[Iterator[None]]:
        """Read the next tokens; then one forward pass for each of the rest, those of a core's."""
        self._base.model.share_cores(1)
        with torch.inference_mode():
            read = read_tokens(self._base.model, running)

        def advance(own: tuple[Running, list[torch.Tensor]]) -> None:
            with torch.inference_mode():
                own[0].advance(own[1])

        list(self._pool.map(advance, read) if len(read) > 1 else map(advance, read))
        rest = [one for one in running if not (one.advanced or one.done)]
        threads = min(self._max_threads, len(rest))
        groups = [rest[thread::threads] for thread in range(threads)]
        return [one_pass(self._base.model, group, limit) for group in groups]

    def _advance(
        self, passes: list[Iterator[None]], leave: Callable[[], bool]
    ) -> list[Iterator[None]]:
        """Make passes, each on a core; those that were left off, once they were to be."""
        self._base.model.share_cores(max(1, len(passes)))

        def left_off(one: Iterator[None]) -> bool:
            with torch.inference_mode():
                return any(leave() for _ in one)

        rest = self._pool.map(left_off, passes) if len(passes) > 1 else map(left_off, passes)
        return [one for one, left in zip(passes, list(rest), strict=True) if left]

    def _going(self, running: list[Running]) -> list[Running]:
        """Those that are not done, who had no pass in this round first."""
        going = [one for one in running if not one.done]
        self.passes += sum(one.advanced for one in going)
        going.sort(key=lambda one: one.advanced)
        for one in going:
            one.advanced = False
        return going
