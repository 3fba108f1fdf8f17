"""What a thread makes comes out on the loop: in order, to its end or to the error that ended it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.thread_stream import Producer, ThreadStream


async def read(producer: Producer[int], most: int = 100) -> list[int | None]:
    stream, items = ThreadStream[int](), list[int | None]()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stream.produce, producer)
        try:
            while len(items) < most and (not items or items[-1] is not None):
                items.append(await stream.next())
        finally:
            stream.close()
    return items


def test_items_come_in_order_and_end() -> None:
    assert asyncio.run(read(lambda stop: range(5))) == [0, 1, 2, 3, 4, None]


def test_the_error_that_ends_the_items_is_raised_after_them() -> None:
    came: list[int | None] = []

    async def both() -> None:
        stream = ThreadStream[int]()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(stream.produce, lambda stop: map(int, ("1", "2", "x")))
            while True:
                came.append(await stream.next())

    with pytest.raises(ValueError, match="'x'"):
        asyncio.run(both())
    assert came == [1, 2]


def test_closing_ends_the_production() -> None:
    def endless(stop: threading.Event) -> Iterator[int]:
        while not stop.is_set():
            yield 1

    assert asyncio.run(read(endless, most=3)) == [1, 1, 1]


def test_a_reader_that_has_gone_holds_nobody_up() -> None:
    async def begin() -> ThreadStream[int]:
        return ThreadStream[int]()

    stream = asyncio.run(begin())
    stream.produce(lambda stop: range(3))  # its loop has ended
