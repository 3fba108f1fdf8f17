"""The answers to a request on their way out, whole or as a stream, in their operation's shape."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from agent.events import Event, Failed, Finished, StepFinished, TextDelta, Waiting
from api.answer import Answer, AnswerDelta, usage_of
from api.background_turn import Turn, unless_gone
from api.errors import ApiError

HEADERS_SECONDS = 2.0  # a stream may wait for its first text before its headers go out
KEEPALIVE_SECONDS = 15.0  # without text, after which a stream says that it is still there
KEEPALIVE = ": still here\n\n"
ChoiceT = TypeVar("ChoiceT", bound=BaseModel)  # a piece of an answer


def one_by_one(answers: Iterable[Iterator[Event]]) -> Iterator[Event]:
    """The events of several answers to one request, each to its end; no other follows a failure."""
    for answer in answers:
        for event in answer:
            yield event
            if isinstance(event, Failed):
                return


class Completion(ABC, Generic[ChoiceT]):
    """The answers to one request, the first one first.

    Args:
        turn: their events, those of one answer after those of another.
        log_fields: where the log looks for what came of the request.
        words: what was asked, for a log that may have visitors' words; None where it may not.
        include_usage: a stream ends with the cost.
    """

    def __init__(
        self,
        turn: Turn,
        answers: Sequence[Answer],
        *,
        log_fields: dict[str, Any],
        words: str | None = None,
        include_usage: bool = False,
    ) -> None:
        self._answers, self._turn = answers, turn
        self._each: int | None = None  # of them are to one prompt; all
        self._at = 0  # the answer that is being made
        self._log_fields, self._words = log_fields, words
        self._include_usage = include_usage

    @abstractmethod
    def _body(self, deltas: list[list[AnswerDelta]]) -> BaseModel:
        """The whole response, out of what was added to each answer."""

    @abstractmethod
    def _chunk(self, choices: list[ChoiceT], **more: Any) -> BaseModel:
        """A piece of the stream."""

    @abstractmethod
    def _beginning(self, index: int) -> ChoiceT | None:
        """What a streamed answer begins with, if anything."""

    @abstractmethod
    def _piece(self, index: int, delta: AnswerDelta) -> ChoiceT:
        """More of a streamed answer."""

    @abstractmethod
    def _ending(self, index: int) -> ChoiceT:
        """The end of a streamed answer."""

    async def whole(self, request: Request) -> Response:
        """The answers at their end.

        Raises:
            ApiError: the turn failed.
            Gone: nobody waits any more; the computation ends.
        """
        with closing(self._turn):
            deltas = await unless_gone(request, self._deltas())
        return JSONResponse(self._body(deltas).model_dump())

    async def stream(self) -> Response:
        """The answers as they are made.

        Raises:
            ApiError: the turn failed before it had any text.
        """
        early: list[Event] = []
        try:
            async with asyncio.timeout(HEADERS_SECONDS):
                while (event := await self._turn.next()) is not None:
                    early.append(event)
                    if isinstance(event, TextDelta | StepFinished | Failed):
                        break
        except TimeoutError:
            pass  # the headers tell the visitor that something is on its way
        except BaseException:
            self._turn.close()
            raise
        if early and isinstance(early[-1], Failed):
            raise ApiError.of(early[-1].kind, early[-1].message)
        return _Stream(self._lines(early), self._turn)

    async def _deltas(self) -> list[list[AnswerDelta]]:
        """Those of each answer."""
        deltas: list[list[AnswerDelta]] = [[] for _ in self._answers]
        while (event := await self._turn.next()) is not None:
            index = self._at
            if delta := self._take(event):
                deltas[index].append(delta)
        return deltas

    async def _lines(self, early: list[Event]) -> AsyncIterator[str]:
        """The stream's lines, beginning with events that have come already."""
        for line in self._begins(0):
            yield line
        try:
            for event in early:
                for line in self._event_lines(event):
                    yield line
            while True:
                try:
                    following = await asyncio.wait_for(self._turn.next(), KEEPALIVE_SECONDS)
                except TimeoutError:
                    yield KEEPALIVE
                    continue
                if following is None:
                    break
                for line in self._event_lines(following):
                    yield line
        except ApiError as error:
            self._log_fields["error"] = error.code
            yield f"data: {JSONResponse(error.body).body.decode()}\n\n"  # type: ignore[union-attr]
            return
        first = self._answers[0]
        provenance = {"patchbay": first.patchbay, "system_fingerprint": first.fingerprint}
        end = [self._ending(len(self._answers) - 1)]
        if self._include_usage:
            yield self._data(end)
            yield self._data([], usage=usage_of(self._answers, self._each), **provenance)
        else:
            yield self._data(end, **provenance)
        yield "data: [DONE]\n\n"

    def _take(self, event: Event) -> AnswerDelta | None:
        answer = self._answers[self._at]
        delta = answer.take(event)
        if isinstance(event, StepFinished):
            self._log_fields |= answer.log_fields
            if self._words is not None:
                self._log_fields["asked"] = self._words
                self._log_fields["answered"] = [step.text for step in answer.record.started]
        if isinstance(event, Finished) and self._at + 1 < len(self._answers):
            self._at += 1
        return delta

    def _event_lines(self, event: Event) -> Iterator[str]:
        if isinstance(event, Waiting):
            yield f": number {event.place} in line\n\n"  # a comment, which clients pass over
        index = self._at
        if delta := self._take(event):
            yield self._data([self._piece(index, delta)])
        if self._at > index:
            yield self._data([self._ending(index)])
            yield from self._begins(self._at)

    def _begins(self, index: int) -> Iterator[str]:
        if beginning := self._beginning(index):
            yield self._data([beginning])

    def _data(self, choices: list[ChoiceT], **more: Any) -> str:
        return f"data: {self._chunk(choices, **more).model_dump_json()}\n\n"


class _Stream(StreamingResponse):
    """A stream of a turn, which ends with it: also when the visitor has gone before it began."""

    media_type = "text/event-stream"

    def __init__(self, lines: AsyncIterator[str], turn: Turn) -> None:
        super().__init__(lines, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._turn.close()
