"""A turn of the agent, computed in a thread and listened to from the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from agent.events import Event, Failed
from agent.fair_queue import FairQueue
from core.settings import Settings
from core.thread_stream import ThreadStream

log = logging.getLogger(__name__)
T = TypeVar("T")
REFUSING = 4  # threads
Start = Callable[[threading.Event], Iterator[Event]]  # the turn, given the switch that ends it
Turn = ThreadStream[Event]


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
        self._pool.submit(turn.produce, partial(_with_failure, start))
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


def _with_failure(start: Start, stop: threading.Event) -> Iterator[Event]:
    """The turn's events; an error that nobody expected is logged, and told by the last of them."""
    try:
        yield from start(stop)
    except Exception:
        log.exception("A turn ended unexpectedly")
        yield Failed("The server made a mistake. It is in its log.", "unexpected")


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
