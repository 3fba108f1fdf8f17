"""Items that a thread makes, awaited one by one on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Producer = Callable[[threading.Event], Iterable[T]]  # makes the items, until the event is set


@dataclass(frozen=True)
class Raised:
    """The error that ended a stream, on its way to the one who reads it."""

    error: Exception


class ThreadStream(Generic[T]):
    """A stream with one producing thread and one reader on the loop that it was made on.

    The thread does not wait for the reader: what it makes is kept until it is read.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T | Raised | None] = asyncio.Queue()
        self._stop = threading.Event()

    async def next(self) -> T | None:
        """The next item; None at the end.

        Raises:
            Exception: whatever ended the items, in the place of the next one.
        """
        item = await self._items.get()
        if isinstance(item, Raised):
            raise item.error
        return item

    def close(self) -> None:
        """End the production, if it has not ended."""
        self._stop.set()

    def produce(self, producer: Producer[T]) -> None:
        """Make the items, in a thread; every error goes to the reader."""
        try:
            for item in producer(self._stop):
                self._put(item)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the reader
            self._put(Raised(error))
        finally:
            self._put(None)

    def _put(self, item: T | Raised | None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who listened
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
