"""One engine in a process of Ray Serve's."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray import serve

from api.background_turn import Turn
from core.errors import EngineAway, PatchbayError, SettingsError
from core.settings import load_settings
from engine.interface import ChooseRequest, ScoreRequest, WriteRequest
from engine.load import load_local
from tasks.spec import Message

RESIDENT = 8  # adapters that Serve remembers of a replica; the engine's own limit is in bytes
Request = WriteRequest | ChooseRequest | ScoreRequest


@dataclass(frozen=True)
class About:
    """What an engine is, and what it has done."""

    context_tokens: int
    start_token: int
    fingerprints: dict[str, str]
    process: int
    loads: int
    passes: int


@dataclass(frozen=True)
class Refused:
    """An error that is safe to show, on its way to the process that asked."""

    error: type[PatchbayError]
    message: str


class EngineReplica:
    """A local engine. What runs in it ends when the one who asked has gone.

    Args:
        flags: settings, as a command line would give them.
    """

    def __init__(self, flags: dict[str, Any]) -> None:
        settings = load_settings(**flags)
        if settings.engine != "local":
            raise SettingsError("A replica runs the base itself: leave engine= out.")
        self._engine = load_local(settings)
        self._pool = ThreadPoolExecutor(settings.max_running + settings.max_waiting)
        self._loads = 0

    async def about(self) -> About:
        """Of this replica; which one answers is Serve's to say."""
        engine = self._engine
        return About(
            engine.context_tokens,
            engine.start_token,
            engine.fingerprints(),
            os.getpid(),
            self._loads,
            engine.passes,
        )

    async def run(self, request: Request, expected: str) -> AsyncIterator[Any]:
        """Yield what the engine gives for a request, or a Refused at last.

        Args:
            request: any kind.
            expected: fingerprint of its adapter where it was planned; empty without one.
        """
        try:
            if request.adapter:
                await self.resident(request.adapter)
                self._require(request.adapter, expected)
        except PatchbayError as error:
            yield _refused(error)
            return
        turn = Turn()
        self._pool.submit(turn.work, lambda stop: self._items(request, stop))
        try:
            while (item := await turn.next()) is not None:
                yield item
        finally:
            turn.close()

    async def tokens(self, text: str, begin: bool) -> list[int]:
        """See `engine.interface.Engine.tokens`."""
        return await asyncio.to_thread(self._engine.tokens, text, begin)

    async def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """See `engine.interface.Engine.count_tokens`."""
        return await asyncio.to_thread(self._engine.count_tokens, messages)

    @serve.multiplexed(max_num_models_per_replica=RESIDENT)  # type: ignore[untyped-decorator]
    async def resident(self, adapter: str) -> str:
        """Have the adapter in memory; Serve is told, and sends its next requests here."""
        await asyncio.to_thread(self._engine.adapters.get, adapter)
        self._loads += 1
        return adapter

    def _require(self, adapter: str, expected: str) -> None:
        here = self._engine.adapters.fingerprint(adapter)
        if here != expected:
            raise EngineAway(
                f"The adapter {adapter} has just changed: {here} is here, {expected} was planned. "
                "Send the request again."
            )

    def _items(self, request: Request, stop: threading.Event) -> Iterator[Any]:
        try:
            match request:
                case WriteRequest():
                    yield from self._engine.write(request, stop)
                case ChooseRequest():
                    yield self._engine.choose(request, stop)
                case ScoreRequest():
                    yield self._engine.score(request, stop)
        except PatchbayError as error:
            yield _refused(error)


def _refused(error: PatchbayError) -> Refused:
    return Refused(type(error), str(error))


def again(refused: Refused) -> PatchbayError:
    """The error as it was: of its own class, whatever that is otherwise made from."""
    return refused.error.__new__(refused.error, refused.message)
