"""A turn of the agent, computed in a thread and listened to from the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request

from agent.events import Event, Failed
from agent.fair_queue import FairQueue
from core.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
REFUSING = 4  # threads
Start = Callable[[threading.Event], Iterator[Event]]  # the turn, given the switch that ends it


class Turn:
    """A turn that runs; see `Turns.begin`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._stop = threading.Event()

    async def next(self) -> Event | None:
        """The next event; None when there are no more."""
        return await self._events.get()

    def close(self) -> None:
        """End the computation, if it has not ended."""
        self._stop.set()

    def work(self, start: Start) -> None:
        """Compute, in a thread."""
        try:
            for event in start(self._stop):
                self._tell(event)
        except Exception:
            log.exception("A turn ended unexpectedly")
            failed = Failed("The server made a mistake. It is in its log.", "unexpected")
            self._tell(failed)
        finally:
            self._tell(None)

    def _tell(self, event: Event | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who listened
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


class Turns:
    """Runs turns. A reader that is slow, or that has gone, holds up neither a thread nor a place.

    The thread does not wait for the reader: what it makes is kept until it is read.
    """

    def __init__(self, settings: Settings, queue: FairQueue) -> None:
        self._queue = queue
        # As many as have a place, so that none waits here, where nobody would see it, and some to
        # tell others that there is none.
        most = settings.max_running + settings.max_waiting + REFUSING
        self._pool = ThreadPoolExecutor(most, "turn")

    def begin(self, start: Start) -> Turn:
        """Begin a turn. Whoever gets it must close it, however it ends."""
        turn = Turn()
        self._pool.submit(turn.work, start)
        return turn

    async def call(self, visitor: str, work: Callable[[], T]) -> T:
        """Short work without the engine: it takes a place, and does not wait for the others.

        Raises:
            Draining, TooMany, EngineBusy: there is no place, now or for this visitor.
        """

        def held() -> T:
            with self._queue.admit(visitor):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, held)


class Gone(Exception):
    """The visitor has closed the connection."""


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. The request's body must have been read.

    Raises:
        Gone: the visitor has closed the connection before; the work has been cancelled.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
