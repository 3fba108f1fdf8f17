"""POST /v1/chat/completions: a conversation in, an answer out, whole or as a stream."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent.agent import Agent
from agent.events import Event
from agent.named_task import task_of
from agent.options import TurnOptions
from api.answer import Answer, AnswerDelta, openai_logprobs, usage_of
from api.background_turn import Turns
from api.completion import Completion, one_by_one
from api.errors import documented
from api.models import AUTO, adapter_of
from api.reply_schemas import (
    STREAM_EVENT,
    AnswerChoice,
    AnswerMessage,
    AnswerToolCall,
    ChatChunk,
    ChatCompletion,
    ChatFinish,
    ChoiceDelta,
    ChunkChoice,
    ToolCallDelta,
)
from api.schemas import (
    ChatRequest,
    PatchbayOptions,
    as_messages,
    read_files,
)
from api.tools import offered_tools, paired, require_tools
from api.turn_options import turn_options
from core.access import Visitor
from core.errors import InputError
from core.settings import Settings
from engine.interface import Tools
from tasks.spec import Message, TaskSpec, ToolCall, find_task

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
        """Answer a conversation: routed by `auto`, or as it stands by the model that is named, and
        with tools by the base.
        """
        visitor: Visitor = request.state.visitor
        adapter = adapter_of(body.model, agent)
        request.state.log_fields["model"] = body.model
        if files := [file for message in body.messages for file in message.files]:
            await turns.call(visitor.name, partial(read_files, files))
        options = turn_options(
            body,
            visitor,
            settings,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            grammar=body.response_format.grammar() if body.response_format else None,
            tools=offered_tools(body.tools, body.tool_choice, body.parallel_tool_calls),
        )
        seeds = [(options.seed + i) % 2**64 for i in range(body.n or 1)]
        start = _start(agent, body, adapter, options.tools)
        turn = turns.begin(
            lambda stop: one_by_one(start(stop, replace(options, seed=seed)) for seed in seeds)
        )
        completion = _ChatCompletion(
            body,
            turn,
            [Answer(seed) for seed in seeds],
            log_fields=request.state.log_fields,
            words=body.messages[-1].text if settings.log_words else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )
        return await (completion.stream() if body.stream else completion.whole(request))


def _start(
    agent: Agent, body: ChatRequest, adapter: str | None, tools: Tools | None
) -> Callable[[threading.Event, TurnOptions], Iterator[Event]]:
    """The turn that the body asks for.

    Raises:
        ApiError: tools are not offered here, or their turns do not fit together.
        InputError: there is nothing to answer, or far too much, or two wishes contradict.
        UnknownName: there is no such task.
    """
    messages = as_messages(body.messages)
    asked = body.patchbay or PatchbayOptions()
    task = _named_task(agent, body.model, adapter, asked)
    if body.continue_final_message:
        begun = _begun(messages, raw=body.model != AUTO and task is None)
        return lambda stop, drawn: agent.complete(
            messages[:-1], adapter, begun=begun, stop=stop, options=drawn
        )
    if tools or any(message.is_of_tools for message in body.messages):
        require_tools(agent.engine, "tools" if tools else "messages", of_base=not (adapter or task))
        turns = paired(messages)
        return lambda stop, drawn: agent.complete(turns, adapter=None, stop=stop, options=drawn)
    if body.model != AUTO and task is None:
        return lambda stop, drawn: agent.complete(messages, adapter, stop=stop, options=drawn)
    *history, last = messages
    if last["role"] != "user":
        raise InputError(
            f"The last message must be the user's, not one by the {last['role']}. To have an "
            'adapter go on from messages as they stand, add `"patchbay": {"raw": true}`.'
        )
    if task is None:
        asked_for, (request, content) = body.messages[-1], body.messages[-1].request
        return lambda stop, drawn: agent.answer(
            request,
            history,
            content=content,
            documents=asked_for.documents,
            stop=stop,
            explain=False,
            options=drawn,
        )
    text = last["content"]
    slots = None if asked.slots is None else dict(asked.slots)
    return lambda stop, drawn: agent.perform(
        text, history, task=task.name, adapter=adapter, slots=slots, stop=stop, options=drawn
    )


def _begun(messages: Sequence[Message], raw: bool) -> str:
    """The beginning of the answer, which is the last message.

    Raises:
        InputError: it is not, or the messages are not read as they stand.
    """
    if not raw or messages[-1]["role"] != "assistant":
        raise InputError(
            "continue_final_message goes on with a last message by the assistant, of messages that "
            'are read as they stand: name the base, or an adapter with `"patchbay": {"raw": true}`.'
        )
    return messages[-1]["content"]


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


class _ChatCompletion(Completion[ChunkChoice]):
    """In the shape of a chat completion."""

    def __init__(self, body: ChatRequest, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._logprobs = bool(body.logprobs)
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }

    def _body(self, deltas: list[list[AnswerDelta]]) -> ChatCompletion:
        first = self._answers[0]
        return ChatCompletion(
            **self._head,
            choices=[self._choice(index, mine) for index, mine in enumerate(deltas)],
            usage=usage_of(self._answers),
            system_fingerprint=first.fingerprint,
            patchbay=first.patchbay,
        )

    def _choice(self, index: int, deltas: list[AnswerDelta]) -> AnswerChoice:
        tokens = [token for delta in deltas for token in delta.tokens]
        text = "".join(delta.text for delta in deltas)
        calls = [AnswerToolCall(**_called(call)) for call in self._answers[index].calls]
        return AnswerChoice(
            index=index,
            message=AnswerMessage(
                content=None if calls and not text else text, tool_calls=calls or None
            ),
            logprobs=openai_logprobs(tokens) if self._logprobs else None,
            finish_reason=self._finish(index),
        )

    def _finish(self, index: int) -> ChatFinish:
        answer = self._answers[index]
        return "tool_calls" if answer.calls and answer.finish == "stop" else answer.finish

    def _chunk(self, choices: list[ChunkChoice], **more: Any) -> ChatChunk:
        return ChatChunk(**self._head, choices=choices, **more)

    def _beginning(self, index: int) -> ChunkChoice:
        return ChunkChoice(index=index, delta=ChoiceDelta(role="assistant", content=""))

    def _piece(self, index: int, delta: AnswerDelta) -> ChunkChoice:
        logprobs = openai_logprobs(list(delta.tokens)) if self._logprobs else None
        first = len(self._answers[index].calls) - len(delta.calls)  # which are its last
        calls = [
            ToolCallDelta(index=place, **_called(call))
            for place, call in enumerate(delta.calls, first)
        ]
        text = None if calls and not delta.text else delta.text
        more = ChoiceDelta(content=text, tool_calls=calls or None)
        return ChunkChoice(index=index, delta=more, logprobs=logprobs)

    def _ending(self, index: int) -> ChunkChoice:
        return ChunkChoice(index=index, delta=ChoiceDelta(), finish_reason=self._finish(index))


def _called(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
