"""One engine in a process of Ray Serve's."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray import serve

from core.errors import EngineAway, PatchbayError, SettingsError
from core.settings import load_settings
from core.thread_stream import ThreadStream
from engine.interface import (
    ChooseRequest,
    CompletionRequest,
    EngineReply,
    EngineRequest,
    ScoreRequest,
    WriteRequest,
)
from engine.load import load_local
from tasks.spec import Message

RESIDENT_ADAPTERS = 8  # that Serve remembers of a replica; the engine's own limit is in bytes


@dataclass(frozen=True)
class ReplicaInfo:
    """What an engine is, and what it has done."""

    context_tokens: int
    start_token: int
    tools_refused: str | None
    fingerprints: dict[str, str]
    process: int
    loads: int
    passes: int


@dataclass(frozen=True)
class Refused:
    """An error that is safe to show, on its way to the process that asked."""

    kind: type[PatchbayError]
    message: str

    @classmethod
    def of(cls, error: PatchbayError) -> Refused:
        """To be sent in the error's place."""
        return cls(type(error), str(error))

    def as_error(self) -> PatchbayError:
        """The error as it was: of its own class, whatever that is otherwise made from."""
        return self.kind.__new__(self.kind, self.message)


ReplicaReply = EngineReply | Refused


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

    async def info(self) -> ReplicaInfo:
        """Of this replica; which one answers is Serve's to say."""
        engine = self._engine
        return ReplicaInfo(
            engine.context_tokens,
            engine.start_token,
            engine.tools_refused,
            engine.fingerprints(),
            os.getpid(),
            self._loads,
            engine.passes,
        )

    async def run(self, request: EngineRequest, expected: str) -> AsyncIterator[ReplicaReply]:
        """Yield what the engine gives for a request, or a Refused at last.

        Args:
            request: any kind.
            expected: fingerprint of its adapter where it was planned; empty without one.

        Raises:
            Exception: the engine made a mistake; Serve carries it to the one who asked.
        """
        try:
            if request.adapter:
                await self.load_adapter(request.adapter)
                self._require_version(request.adapter, expected)
        except PatchbayError as error:
            yield Refused.of(error)
            return
        replies = ThreadStream[ReplicaReply]()
        self._pool.submit(replies.produce, lambda stop: self._replies(request, stop))
        try:
            while (reply := await replies.next()) is not None:
                yield reply
        finally:
            replies.close()

    async def tokens(self, text: str, begin: bool) -> list[int]:
        """See `engine.interface.ScoringEngine.tokens`."""
        return await asyncio.to_thread(self._engine.tokens, text, begin)

    async def text(self, ids: Sequence[int]) -> str | Refused:
        """See `engine.interface.ScoringEngine.text`."""
        try:
            return await asyncio.to_thread(self._engine.text, ids)
        except PatchbayError as error:
            return Refused.of(error)

    async def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """See `engine.interface.Engine.count_tokens`."""
        return await asyncio.to_thread(self._engine.count_tokens, messages)

    @serve.multiplexed(max_num_models_per_replica=RESIDENT_ADAPTERS)  # type: ignore[untyped-decorator]
    async def load_adapter(self, adapter: str) -> str:
        """Have the adapter in memory; Serve is told, and sends its next requests here."""
        await asyncio.to_thread(self._engine.adapters.get, adapter)
        self._loads += 1
        return adapter

    def _require_version(self, adapter: str, expected: str) -> None:
        here = self._engine.adapters.fingerprint(adapter)
        if here != expected:
            raise EngineAway(
                f"The adapter {adapter} has just changed: {here} is here, {expected} was planned. "
                "Send the request again."
            )

    def _replies(self, request: EngineRequest, stop: threading.Event) -> Iterator[ReplicaReply]:
        try:
            match request:
                case WriteRequest() | CompletionRequest():
                    yield from self._engine.write(request, stop)
                case ChooseRequest():
                    yield self._engine.choose(request, stop)
                case ScoreRequest():
                    yield self._engine.score(request, stop)
        except PatchbayError as error:
            yield Refused.of(error)
