"""POST /v1/chat/completions: a conversation in, an answer out, whole or as a stream."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agent.agent import Agent
from agent.events import Event, Failed, StepFinished, TextDelta, Waiting
from agent.options import TurnOptions
from api.answer import Answer, Piece, logprobs
from api.background_turn import Start, Turn, Turns, unless_gone
from api.errors import ApiError, documented
from api.models import AUTO, adapter_of
from api.schemas import (
    STREAM_EVENT,
    AnswerChoice,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChunkChoice,
    Delta,
    as_messages,
)
from core.access import Visitor
from core.errors import InputError
from core.settings import Settings
from engine.interface import Token

PATIENCE = 2.0  # seconds a stream may wait for its first text before its headers go out
QUIET = 15.0  # seconds without text after which a stream says that it is still there
STILL_HERE = ": still here\n\n"
MOST_TOKENS = ("max_tokens", "max_completion_tokens")
WITH_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` a `data:` line a chunk, then `data: [DONE]`",
        "content": {"text/event-stream": {"itemSchema": STREAM_EVENT}},
    }
}


def chat_routes(router: APIRouter, agent: Agent, turns: Turns, settings: Settings) -> None:
    """Add the one operation."""

    @router.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        responses=WITH_STREAM | documented(400, 401, 403, 404, 413, 422, 429, 500, 503),
    )
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """Answer a conversation: routed by `auto`, or as it stands by the model that is named."""
        visitor: Visitor = request.state.visitor
        adapter = adapter_of(body.model, agent)
        request.state.told["model"] = body.model
        options = _options(body, visitor, settings)
        turn = turns.begin(_start(agent, body, adapter, options))
        answer = Answer(options.seed)
        completion = _Completion(answer, body, turn, request.state.told, settings.log_words)
        return await (completion.stream() if body.stream else completion.whole(request))


def _start(agent: Agent, body: ChatRequest, adapter: str | None, options: TurnOptions) -> Start:
    """The turn that the body asks for.

    Raises:
        InputError: there is nothing to answer, or far too much.
    """
    messages = as_messages(body.messages)
    if body.model != AUTO:
        return lambda stop: agent.complete(messages, adapter, stop=stop, options=options)
    *history, last = messages
    if last["role"] != "user":
        raise InputError(f"The last message must be the user's, not one by the {last['role']}.")
    return lambda stop: agent.answer(
        last["content"], history, stop=stop, explain=False, options=options
    )


def _options(body: ChatRequest, visitor: Visitor, settings: Settings) -> TurnOptions:
    """What the body asks for.

    Raises:
        ApiError: a longer answer than this server gives.
    """
    ends = [body.stop] if isinstance(body.stop, str) else body.stop or []
    for name in MOST_TOKENS:
        wanted, most = getattr(body, name), settings.max_answer_tokens
        if wanted and wanted > most:
            message = f"{name} is too large: {wanted}. This server writes at most {most} tokens."
            raise ApiError(400, message, param=name)
    seed = secrets.randbits(32) if body.seed is None else body.seed
    return TurnOptions(
        temperature=body.temperature,
        top_p=body.top_p,
        repetition_penalty=body.repetition_penalty,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        until=tuple(ends),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        seed=seed % 2**64,  # numpy's seeds are not negative
        allowed=visitor.allowed,
        visitor=visitor.name,
    )


class _Completion:
    """One answer on its way out.

    Args:
        told: where the log looks for what came of the request.
        words: whether it may have the visitor's words.
    """

    def __init__(
        self, answer: Answer, body: ChatRequest, turn: Turn, told: dict[str, Any], words: bool
    ) -> None:
        self._answer, self._body, self._turn = answer, body, turn
        self._told, self._words = told, words
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }

    async def whole(self, request: Request) -> Response:
        """The answer at its end.

        Raises:
            ApiError: the turn failed.
            Gone: nobody waits any more; the computation ends.
        """
        with closing(self._turn):
            pieces = await unless_gone(request, self._pieces())
        tokens = [token for piece in pieces for token in piece.tokens]
        choice = AnswerChoice(
            message=AnswerMessage(content="".join(piece.text for piece in pieces)),
            logprobs=self._logprobs(tokens),
            finish_reason=self._answer.finish,
        )
        completion = ChatCompletion(
            **self._head,
            choices=[choice],
            usage=self._answer.usage,
            system_fingerprint=self._answer.fingerprint,
            patchbay=self._answer.made,
        )
        return JSONResponse(completion.model_dump())

    async def stream(self) -> Response:
        """The answer as it is made.

        Raises:
            ApiError: the turn failed before it had any text.
        """
        early: list[Event] = []
        try:
            async with asyncio.timeout(PATIENCE):
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

    async def _pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        while (event := await self._turn.next()) is not None:
            pieces += self._take(event)
        return pieces

    async def _lines(self, early: list[Event]) -> AsyncIterator[str]:
        """The stream's lines, beginning with events that have come already."""
        yield self._line([ChunkChoice(delta=Delta(role="assistant", content=""))])
        try:
            for event in early:
                for line in self._drawn(event):
                    yield line
            while True:
                try:
                    following = await asyncio.wait_for(self._turn.next(), QUIET)
                except TimeoutError:
                    yield STILL_HERE
                    continue
                if following is None:
                    break
                for line in self._drawn(following):
                    yield line
        except ApiError as error:
            self._told["error"] = error.code
            yield f"data: {JSONResponse(error.body).body.decode()}\n\n"  # type: ignore[union-attr]
            return
        end = [ChunkChoice(delta=Delta(), finish_reason=self._answer.finish)]
        made = {
            "patchbay": self._answer.made,
            "system_fingerprint": self._answer.fingerprint,
        }
        options = self._body.stream_options
        if options and options.include_usage:
            yield self._line(end)
            yield self._line([], usage=self._answer.usage, **made)
        else:
            yield self._line(end, **made)
        yield "data: [DONE]\n\n"

    def _take(self, event: Event) -> list[Piece]:
        pieces = list(self._answer.take(event))
        if isinstance(event, StepFinished):
            self._told |= self._answer.told
            if self._words:
                self._told["asked"] = self._body.messages[-1].text
                self._told["answered"] = [step.text for step in self._answer.made.steps]
        return pieces

    def _drawn(self, event: Event) -> Iterator[str]:
        if isinstance(event, Waiting):
            yield f": number {event.place} in line\n\n"  # a comment, which clients pass over
        for piece in self._take(event):
            yield self._text(piece)

    def _text(self, piece: Piece) -> str:
        delta = Delta(content=piece.text)
        return self._line([ChunkChoice(delta=delta, logprobs=self._logprobs(list(piece.tokens)))])

    def _line(self, choices: list[ChunkChoice], **more: Any) -> str:
        chunk = ChatChunk(**self._head, choices=choices, **more)
        return f"data: {chunk.model_dump_json()}\n\n"

    def _logprobs(self, tokens: list[Token]) -> Any:
        return logprobs(tokens) if self._body.logprobs else None


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
