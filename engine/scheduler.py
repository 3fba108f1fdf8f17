"""Continuous batching: requests come and go while others run.

One worker thread gives every running request one forward pass in turn, so a newcomer waits for a
pass and not for an answer, and each request computes exactly what it would compute alone. Where the
base allows it, the requests are dealt out to the cores, and those of one core are read together.

Rows of tables stand behind all other requests: they run where nothing else does, and now and then
in between, so that they come to an end on a busy day too.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.errors import EngineBusy, PatchbayError
from engine.base_model import Base
from engine.kv_cache import DecodeInput
from engine.prefix_cache import PrefixCache
from engine.scheduled_requests import ForwardPasses, ScheduledRequest

ROUNDS_AHEAD = 100  # that other requests have before rows of tables have one


@dataclass(eq=False)
class _Running:
    """A request that runs, equal only to itself: its passes, and the token it wants read."""

    request: ScheduledRequest
    passes: ForwardPasses
    wanted: DecodeInput[Any] | None = None


class Scheduler:
    """Runs requests over one base. Safe to use from many threads.

    Attributes:
        passes: forward passes since the start, so that a test can see them stop.
        prefixes: KV caches of finished answers.
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
        running: list[_Running] = []
        rows: list[_Running] = []
        ahead = 0  # rounds since rows had one
        while True:
            with self._changed:
                while not (running or rows or self._waiting or self._waiting_rows or self._closing):
                    self._changed.wait()
                if self._closing:
                    left = [one.request for one in (*running, *rows)]
                    left += [*self._waiting, *self._waiting_rows]
                    break
                self._admit(running, self._waiting)
                self._admit(rows, self._waiting_rows)
            if running:
                running = self._round(running)
                ahead += 1
            if rows and (not running or ahead >= ROUNDS_AHEAD):
                rows, ahead = self._round_of_rows(rows), 0
        for request in left:
            request.out.put(EngineBusy("The engine is shutting down."))

    def _admit(self, running: list[_Running], waiting: deque[ScheduledRequest]) -> None:
        while waiting and len(running) < self._max_running:
            request = waiting.popleft()
            running.append(_Running(request, request.run(self._base, self.prefixes)))

    def _round_of_rows(self, rows: list[_Running]) -> list[_Running]:
        """A pass for those that want a token read, and for one more on each core: whoever comes
        meanwhile waits for so much. Those that are not done, who had none first."""
        reading = [one for one in rows if one.wanted is None]
        later = reading[self._max_threads :]
        return later + self._round([one for one in rows if one not in later])

    def _round(self, running: list[_Running]) -> list[_Running]:
        """One forward pass for each; those that are not done."""
        threads = min(self._max_threads, len(running))
        groups = [running[thread::threads] for thread in range(threads)]
        self._base.model.share_cores(threads)
        rest = self._pool.map(self._pass, groups) if threads > 1 else map(self._pass, groups)
        going = [one for group in rest for one in group]
        self.passes += len(going)
        return [one for one in running if one in going]

    def _pass(self, group: list[_Running]) -> list[_Running]:
        """One forward pass for each request of a group; those that are not done."""
        with torch.inference_mode():
            decoding = [one for one in group if one.wanted]
            try:
                logits = self._base.model.decode([one.wanted for one in decoding if one.wanted])
            except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers
                for one in decoding:
                    one.request.out.put(_explained(error))
                return [one for one in group if one not in decoding and _advance(one, None)]
            by_request = dict(zip(map(id, decoding), logits, strict=True))
            return [one for one in group if _advance(one, by_request.get(id(one)))]


def _advance(one: _Running, logits: Tensor | None) -> bool:
    """To the next token that is wanted, or past a pass of its own; False when it is done."""
    try:
        one.wanted = one.passes.send(logits)
    except StopIteration:
        return False
    except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
        one.request.out.put(_explained(error))
        return False
    return True


def _explained(error: Exception) -> Exception:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return PatchbayError("There was not enough memory for this request. Send a shorter one.")
    return error
