"""The page's named endpoints, which gradio_client calls and which are an agent's tools over MCP:
`/chat`, and one for each skill.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gradio as gr
from gradio.events import api

from agent.agent import Agent
from agent.events import Event
from agent.options import TurnOptions
from agent.turn_record import StepRecord, TurnRecord
from core.access import Keys
from core.errors import PatchbayError, TooMany
from tasks.spec import Slot, SlotValue, TaskSpec

Route = dict[str, Any]
RESULT = tuple[str, Route]
Endpoint = Callable[..., RESULT]
CHAT = """Answer a message. It is routed to the skills that it asks for: to write, to translate, to
summarize, to judge sentiment, to sort a text under labels; several in one message run in order.

Args:
    message: what is wished and the text it is about, in English or Chinese.

Returns:
    The answer, and its route: for each step the task, its slots, the adapter that answered, the
    labels' probabilities, and what there is to know about it.
"""


def add_endpoints(agent: Agent, keys: Keys) -> None:
    """Add them to the page that is being laid out."""

    def options(request: gr.Request) -> TurnOptions:
        """Those of whoever asks, whose request is counted."""
        visitor = keys.named(request.username, request.client.host if request.client else "")
        try:
            agent.limits.count_request(visitor.name)
        except TooMany as error:
            raise _shown(str(error)) from error
        seed = secrets.randbits(32)
        return TurnOptions(seed=seed, allowed=visitor.allowed, visitor=visitor.name)

    def chat(message: str, request: gr.Request) -> tuple[str, Route]:
        return _told(agent.answer(message, explain=False, options=options(request)))

    _add("chat", CHAT, chat, {"message": str, "request": gr.Request})
    for task in agent.tasks.values():
        if not task.conversation:  # which is what `/chat` is for
            call, types = _skill(agent, task, options)
            _add(task.name, _described(task), call, types)


def _add(name: str, description: str, call: Endpoint, types: Mapping[str, type]) -> None:
    """Add one endpoint.

    Args:
        types: parameter -> its type, in their order; those after the request may be left out.
    """
    by_place, names = inspect.Parameter.POSITIONAL_OR_KEYWORD, list(types)
    left_out = names[names.index("request") + 1 :]
    call.__name__, call.__doc__ = name, description
    call.__annotations__ = {**types, "return": RESULT}
    # Gradio looks here for what it is to pass.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one,
                by_place,
                annotation=types[one],
                default=types[one]() if one in left_out else inspect.Parameter.empty,
            )
            for one in names
        ],
        return_annotation=RESULT,
    )
    # They wait in our own queue, which is fair; Gradio's would hold them back unseen.
    api(call, api_name=name, concurrency_limit=None)


def _skill(
    agent: Agent, task: TaskSpec, options: Callable[[gr.Request], TurnOptions]
) -> tuple[Endpoint, dict[str, type]]:
    """A function of a text and the task's slots, and the types of its parameters."""

    def call(text: str, request: gr.Request, *given: SlotValue) -> tuple[str, Route]:
        slots = {name: value for name, value in zip(task.slots, given, strict=True) if value}
        drawn = options(request)
        return _told(agent.perform(text, task=task.name, slots=slots, options=drawn))

    slots = {name: _type(slot) for name, slot in task.slots.items()}
    return call, {"text": str, "request": gr.Request, **slots}


def _type(slot: Slot) -> type:
    return list[str] if slot.type == "labels" else str


def _described(task: TaskSpec) -> str:
    lines = [task.description.en, "", "Args:", "    text: the text, all of it content."]
    for name, slot in task.slots.items():
        lines.append(f"    {name}: {_meaning(slot)}")
    lines += ["", "Returns:", "    The result, and how it was made."]
    return "\n".join(lines)


def _meaning(slot: Slot) -> str:
    match slot.type:
        case "language" if slot.default == "detected":
            return "the language that it is in, by name or code; empty is found out."
        case "language":
            return "the language that it is wished in, by name or code."
        case "choice":
            return f"one of {', '.join(slot.choices)}; empty is {slot.default}."
        case "count":
            return "how many of them; empty is as many as fit."
        case "labels":
            return "labels of your own; empty are the task's."


def _told(events: Iterable[Event]) -> tuple[str, Route]:
    """What came of a turn: the text of every step, a blank line between them, and the route.

    Raises:
        gr.Error: what went wrong, as a sentence.
    """
    record = TurnRecord()
    try:
        for event in events:
            record.apply(event)
    except PatchbayError as error:
        raise _shown(str(error)) from error
    if record.failed:
        raise _shown(record.failed.message)
    route = {
        "reason": record.plan.reason if record.plan else None,
        "uncertain": record.plan.uncertain if record.plan else False,
        "steps": [_step(step) for step in record.started],
    }
    return "\n\n".join(step.text for step in record.started), route


def _shown(message: str) -> gr.Error:
    """An error that reaches the caller, and not the log: it may hold a visitor's words."""
    return gr.Error(message, print_exception=False)


def _step(record: StepRecord) -> dict[str, Any]:
    return {
        "task": record.step.task,
        "confidence": round(record.step.confidence, 4),
        "slots": record.step.slots,
        "adapter": record.adapter,
        "text": record.text,
        "labels": record.result.labels if record.result else {},
        "notices": [notice.message for notice in record.notices],
        "fingerprints": record.result.fingerprints if record.result else {},
    }
