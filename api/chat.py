"""POST /v1/chat/completions: a conversation in, an answer out, whole or as a stream."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agent.agent import Agent
from agent.events import Event, Failed, Finished, StepFinished, TextDelta, Waiting
from agent.named_task import task_of
from agent.options import TurnOptions
from api.answer import Answer, AnswerDelta, openai_logprobs, usage_of
from api.background_turn import Turn, Turns, unless_gone
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
    PatchbayOptions,
    as_messages,
)
from api.turn_options import turn_options
from core.access import Visitor
from core.errors import InputError
from core.settings import Settings
from engine.interface import Token
from tasks.spec import TaskSpec, find_task

HEADERS_SECONDS = 2.0  # a stream may wait for its first text before its headers go out
KEEPALIVE_SECONDS = 15.0  # without text, after which a stream says that it is still there
KEEPALIVE = ": still here\n\n"
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
        options = turn_options(
            body,
            visitor,
            settings,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            grammar=body.response_format.grammar() if body.response_format else None,
        )
        seeds = [(options.seed + i) % 2**64 for i in range(body.n or 1)]
        start = _start(agent, body, adapter)
        turn = turns.begin(
            lambda stop: one_by_one(start(stop, replace(options, seed=seed)) for seed in seeds)
        )
        completion = _Completion(
            body,
            turn,
            [Answer(seed) for seed in seeds],
            log_fields=request.state.log_fields,
            log_words=settings.log_words,
        )
        return await (completion.stream() if body.stream else completion.whole(request))


def one_by_one(answers: Iterable[Iterator[Event]]) -> Iterator[Event]:
    """The events of several answers to one request, each to its end; no other follows a failure."""
    for answer in answers:
        for event in answer:
            yield event
            if isinstance(event, Failed):
                return


def _start(
    agent: Agent, body: ChatRequest, adapter: str | None
) -> Callable[[threading.Event, TurnOptions], Iterator[Event]]:
    """The turn that the body asks for.

    Raises:
        InputError: there is nothing to answer, or far too much, or two wishes contradict.
        UnknownName: there is no such task.
    """
    messages = as_messages(body.messages)
    asked = body.patchbay or PatchbayOptions()
    task = _named_task(agent, body.model, adapter, asked)
    if body.model != AUTO and task is None:
        return lambda stop, drawn: agent.complete(messages, adapter, stop=stop, options=drawn)
    *history, last = messages
    if last["role"] != "user":
        raise InputError(
            f"The last message must be the user's, not one by the {last['role']}. To have an "
            'adapter go on from messages as they stand, add `"patchbay": {"raw": true}`.'
        )
    text = last["content"]
    if task is None:
        return lambda stop, drawn: agent.answer(
            text, history, stop=stop, explain=False, options=drawn
        )
    slots = None if asked.slots is None else dict(asked.slots)
    return lambda stop, drawn: agent.perform(
        text, history, task=task.name, adapter=adapter, slots=slots, stop=stop, options=drawn
    )


def _named_task(
    agent: Agent, model: str, adapter: str | None, asked: PatchbayOptions
) -> TaskSpec | None:
    """The task to do in place of routing, or of reading the messages as they stand.

    Raises:
        InputError: the model cannot do what is asked of it.
        UnknownName: there is no such task.
    """
    task = find_task(agent.tasks, asked.task) if asked.task else None
    if asked.raw and (task or asked.slots is not None or model == AUTO):
        raise InputError(
            "patchbay.raw has messages read as they stand, by the base or an adapter: it goes "
            "with neither `auto` nor a task nor slots. Leave one of them out."
        )
    if task and adapter is None and model != AUTO:
        raise InputError(
            f"The bare base is asked in messages as they stand, and not for a task. Name {AUTO!r} "
            f"or an adapter for {task.name!r}."
        )
    if adapter and not asked.raw:
        task = task or task_of(adapter, agent.tasks, agent.engine.adapters)
    if task is None and asked.slots is not None:
        raise InputError("patchbay.slots are a task's. Name it in patchbay.task.")
    return task


class _Completion:
    """The answers to one request on their way out, the first one first.

    Args:
        turn: their events, those of one answer after those of another.
        log_fields: where the log looks for what came of the request.
        log_words: whether it may have the visitor's words.
    """

    def __init__(
        self,
        body: ChatRequest,
        turn: Turn,
        answers: Sequence[Answer],
        *,
        log_fields: dict[str, Any],
        log_words: bool,
    ) -> None:
        self._answers, self._body, self._turn = answers, body, turn
        self._at = 0  # the answer that is being made
        self._log_fields, self._log_words = log_fields, log_words
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }

    async def whole(self, request: Request) -> Response:
        """The answers at their end.

        Raises:
            ApiError: the turn failed.
            Gone: nobody waits any more; the computation ends.
        """
        with closing(self._turn):
            deltas = await unless_gone(request, self._deltas())
        completion = ChatCompletion(
            **self._head,
            choices=[self._choice(index, mine) for index, mine in enumerate(deltas)],
            usage=usage_of(self._answers),
            system_fingerprint=self._answers[0].fingerprint,
            patchbay=self._answers[0].patchbay,
        )
        return JSONResponse(completion.model_dump())

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

    def _choice(self, index: int, deltas: list[AnswerDelta]) -> AnswerChoice:
        tokens = [token for delta in deltas for token in delta.tokens]
        return AnswerChoice(
            index=index,
            message=AnswerMessage(content="".join(delta.text for delta in deltas)),
            logprobs=self._logprobs(tokens),
            finish_reason=self._answers[index].finish,
        )

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
        yield self._begins(0)
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
        options = self._body.stream_options
        if options and options.include_usage:
            yield self._data(end)
            yield self._data([], usage=usage_of(self._answers), **provenance)
        else:
            yield self._data(end, **provenance)
        yield "data: [DONE]\n\n"

    def _take(self, event: Event) -> AnswerDelta | None:
        answer = self._answers[self._at]
        delta = answer.take(event)
        if isinstance(event, StepFinished):
            self._log_fields |= answer.log_fields
            if self._log_words:
                self._log_fields["asked"] = self._body.messages[-1].text
                self._log_fields["answered"] = [step.text for step in answer.record.started]
        if isinstance(event, Finished) and self._at + 1 < len(self._answers):
            self._at += 1
        return delta

    def _event_lines(self, event: Event) -> Iterator[str]:
        if isinstance(event, Waiting):
            yield f": number {event.place} in line\n\n"  # a comment, which clients pass over
        index = self._at
        if delta := self._take(event):
            logprobs = self._logprobs(list(delta.tokens))
            written = ChoiceDelta(content=delta.text)
            yield self._data([ChunkChoice(index=index, delta=written, logprobs=logprobs)])
        if self._at > index:
            yield self._data([self._ending(index)])
            yield self._begins(self._at)

    def _begins(self, index: int) -> str:
        role = ChoiceDelta(role="assistant", content="")
        return self._data([ChunkChoice(index=index, delta=role)])

    def _ending(self, index: int) -> ChunkChoice:
        finish = self._answers[index].finish
        return ChunkChoice(index=index, delta=ChoiceDelta(), finish_reason=finish)

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
