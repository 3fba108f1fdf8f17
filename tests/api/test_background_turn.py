"""A turn in a thread tells every end to the one who listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from agent.events import Event, Failed, Waiting
from agent.limits import Limits
from api.background_turn import Turns
from core.settings import Settings


def test_an_error_that_nobody_expected_is_the_last_event() -> None:
    def broken(stop: threading.Event) -> Iterator[Event]:
        yield Waiting(1)
        raise LookupError("words that are nobody's business")

    async def events() -> list[Event | None]:
        settings = Settings()
        turn = Turns(settings, Limits(settings).queue).begin(broken)
        return [await turn.next() for _ in range(3)]

    waiting, failed, end = asyncio.run(events())
    assert waiting == Waiting(1)
    assert failed == Failed("The server made a mistake. It is in its log.", "unexpected")
    assert end is None
