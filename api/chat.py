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
from api.answer import Answer, AnswerDelta, openai_logprobs
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
    ChoiceDelta,
    ChunkChoice,
    as_messages,
)
from core.access import Visitor
from core.errors import InputError
from core.settings import Settings
from engine.interface import Token

HEADERS_SECONDS = 2.0  # a stream may wait for its first text before its headers go out
KEEPALIVE_SECONDS = 15.0  # without text, after which a stream says that it is still there
KEEPALIVE = ": still here\n\n"
MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
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
        request.state.log_fields["model"] = body.model
        options = _options(body, visitor, settings)
        turn = turns.begin(_start(agent, body, adapter, options))
        completion = _Completion(
            body,
            turn,
            Answer(options.seed),
            log_fields=request.state.log_fields,
            log_words=settings.log_words,
        )
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
    text, content = body.messages[-1].request
    return lambda stop: agent.answer(
        text, history, content=content, stop=stop, explain=False, options=options
    )


def _options(body: ChatRequest, visitor: Visitor, settings: Settings) -> TurnOptions:
    """What the body asks for.

    Raises:
        ApiError: a longer answer than this server gives.
    """
    ends = [body.stop] if isinstance(body.stop, str) else body.stop or []
    for name in MAX_TOKENS_FIELDS:
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
        log_fields: where the log looks for what came of the request.
        log_words: whether it may have the visitor's words.
    """

    def __init__(
        self,
        body: ChatRequest,
        turn: Turn,
        answer: Answer,
        *,
        log_fields: dict[str, Any],
        log_words: bool,
    ) -> None:
        self._answer, self._body, self._turn = answer, body, turn
        self._log_fields, self._log_words = log_fields, log_words
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
            deltas = await unless_gone(request, self._deltas())
        tokens = [token for delta in deltas for token in delta.tokens]
        choice = AnswerChoice(
            message=AnswerMessage(content="".join(delta.text for delta in deltas)),
            logprobs=self._logprobs(tokens),
            finish_reason=self._answer.finish,
        )
        completion = ChatCompletion(
            **self._head,
            choices=[choice],
            usage=self._answer.usage,
            system_fingerprint=self._answer.fingerprint,
            patchbay=self._answer.patchbay,
        )
        return JSONResponse(completion.model_dump())

    async def stream(self) -> Response:
        """The answer as it is made.

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

    async def _deltas(self) -> list[AnswerDelta]:
        deltas: list[AnswerDelta] = []
        while (event := await self._turn.next()) is not None:
            if delta := self._take(event):
                deltas.append(delta)
        return deltas

    async def _lines(self, early: list[Event]) -> AsyncIterator[str]:
        """The stream's lines, beginning with events that have come already."""
        yield self._data([ChunkChoice(delta=ChoiceDelta(role="assistant", content=""))])
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
        end = [ChunkChoice(delta=ChoiceDelta(), finish_reason=self._answer.finish)]
        provenance = {
            "patchbay": self._answer.patchbay,
            "system_fingerprint": self._answer.fingerprint,
        }
        options = self._body.stream_options
        if options and options.include_usage:
            yield self._data(end)
            yield self._data([], usage=self._answer.usage, **provenance)
        else:
            yield self._data(end, **provenance)
        yield "data: [DONE]\n\n"

    def _take(self, event: Event) -> AnswerDelta | None:
        delta = self._answer.take(event)
        if isinstance(event, StepFinished):
            self._log_fields |= self._answer.log_fields
            if self._log_words:
                self._log_fields["asked"] = self._body.messages[-1].text
                self._log_fields["answered"] = [step.text for step in self._answer.record.started]
        return delta

    def _event_lines(self, event: Event) -> Iterator[str]:
        if isinstance(event, Waiting):
            yield f": number {event.place} in line\n\n"  # a comment, which clients pass over
        if delta := self._take(event):
            logprobs = self._logprobs(list(delta.tokens))
            yield self._data(
                [ChunkChoice(delta=ChoiceDelta(content=delta.text), logprobs=logprobs)]
            )

    def _data(self, choices: list[ChunkChoice], **more: Any) -> str:
        chunk = ChatChunk(**self._head, choices=choices, **more)
        return f"data: {chunk.model_dump_json()}\n\n"

    def _logprobs(self, tokens: list[Token]) -> Any:
        return openai_logprobs(tokens) if self._body.logprobs else None


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
