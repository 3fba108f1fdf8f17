"""A turn's steps as they are kept with a rating that may be trained on.

The browser stores where in the conversation a step's content stands, and not the text a second
time: it may be a whole file, and is sent with every event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.cleaning import clean_or_none
from agent.feedback.answered_step import AnsweredStep
from agent.turn_record import TurnRecord
from documents import joined
from tasks.spec import TaskSpec

if TYPE_CHECKING:
    from ui.conversation import Conversation, TurnView


# From one character to another of a turn's request, or, with its id, of an earlier turn's request
# and answers; the text itself where it is in none.
StepContent = tuple[int, int] | tuple[int, int, str] | str


def place_contents(
    turn: TurnView,
    past: Sequence[TurnView],
    record: TurnRecord,
    placed: dict[int, StepContent],
) -> None:
    """Note what each step that has begun works on; `placed` remembers it, by the step's index."""
    before = ""
    for index, (view, step) in enumerate(zip(turn.steps, record.steps, strict=False)):
        if step.started and index not in placed:
            known = step.content in {"", before}
            placed[index] = "" if known else _found(step.content, turn, past)
        view.content = placed.get(index) or view.content
        before = view.text


def _found(content: str, turn: TurnView, past: Sequence[TurnView]) -> StepContent:
    if (begin := _request(turn).find(content)) >= 0:
        return begin, begin + len(content)
    for earlier in reversed(past):
        if (begin := _whole(earlier).find(content)) >= 0:
            return begin, begin + len(content), earlier.id
    return content


def kept_steps(
    turn: TurnView, past: Conversation, tasks: Mapping[str, TaskSpec]
) -> list[AnsweredStep]:
    """The steps that were done, with what they worked on.

    Args:
        past: the conversation before the turn.
    """
    kept, before, earlier = [], "", bool(past.messages())
    for step in turn.steps:
        content = _read(step.content, turn, past) if step.content else before
        task = tasks.get(step.task)
        if step.status == "done" and task:
            kept.append(
                AnsweredStep(
                    task=step.task,
                    slots=step.slots,
                    content=content,
                    answer=step.text,
                    labels=step.labels,
                    adapter=step.adapter or "",
                    fingerprints=step.fingerprints,
                    alone=not (task.conversation and earlier),
                )
            )
        before = step.text
    return kept


def _read(content: StepContent, turn: TurnView, past: Conversation) -> str:
    """The text; empty where it stands in a turn that was not sent."""
    match content:
        case str():
            return content
        case (begin, end):
            return _request(turn)[begin:end]
        case (begin, end, turn_id):
            at = past.find(turn_id)
            return "" if at is None else _whole(past.turns[at])[begin:end]


def _request(turn: TurnView) -> str:
    """The request with the text of its files, cleaned as what steps work on is."""
    return clean_or_none("\n\n".join([turn.text, joined(turn.documents)])) or ""


def _whole(turn: TurnView) -> str:
    """A turn that has ended: its request, and what its steps have written."""
    return "\n\n".join([_request(turn), *(step.text for step in turn.steps)])
