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
from api.limits import Limits
from core.errors import PatchbayError
from core.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
Start = Callable[[threading.Event], Iterator[Event]]  # the turn, given the switch that ends it


class Draining(PatchbayError):
    """The server is on its way out."""


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

    def work(self, start: Start, end: Callable[[], None]) -> None:
        """Compute, in a thread; `end` is called in the event loop."""
        try:
            for event in start(self._stop):
                self._tell(event)
        except Exception:
            log.exception("A turn ended unexpectedly")
            failed = Failed("The server made a mistake. It is in its log.", "unexpected")
            self._tell(failed)
        finally:
            self._in_loop(end)
            self._tell(None)

    def _tell(self, event: Event | None) -> None:
        self._in_loop(lambda: self._events.put_nowait(event))

    def _in_loop(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who listened
            self._loop.call_soon_threadsafe(call)


class Turns:
    """Runs turns. A reader that is slow, or that has gone, holds up neither a thread nor a place.

    The thread does not wait for the reader: what it makes is kept until it is read.
    """

    def __init__(self, settings: Settings) -> None:
        self.draining = False  # set at the end of the process: no turn begins any more
        self.limits = Limits(settings)
        # As many as may begin, so that none waits here, where nobody would see it.
        self._pool = ThreadPoolExecutor(settings.max_running + settings.max_waiting, "turn")

    def begin(self, visitor: str, start: Start) -> Turn:
        """Begin a turn. Whoever gets it must close it, however it ends.

        Raises:
            TooMany, EngineBusy, Draining: before anything is computed.
        """
        end = self._enter(visitor)
        turn = Turn()
        self._pool.submit(turn.work, start, end)
        return turn

    async def call(self, visitor: str, work: Callable[[], T]) -> T:
        """Short work of the same kind. Raises as `begin`."""
        end = self._enter(visitor)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            end()

    def _enter(self, visitor: str) -> Callable[[], None]:
        if self.draining:
            raise Draining("The server is shutting down. Send the request again in a minute.")
        return self.limits.begin(visitor)


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
