"""A turn's steps as they are kept with a rating that may be trained on.

The browser stores where in the request and its files a step's content stands, and not the text a
second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.feedback.answered_step import AnsweredStep
from agent.turn_record import TurnRecord
from documents import joined
from tasks.spec import TaskSpec

if TYPE_CHECKING:
    from ui.conversation import Conversation, TurnView


StepContent = tuple[int, int] | str  # see `StepView`


def place_contents(turn: TurnView, record: TurnRecord, placed: dict[int, StepContent]) -> None:
    """Note what each step that has begun works on; `placed` remembers it, by the step's index."""
    before = ""
    for index, (view, step) in enumerate(zip(turn.steps, record.steps, strict=False)):
        if step.started and index not in placed:
            begin = _whole(turn).find(step.content)
            end = begin + len(step.content)
            found: StepContent = (begin, end) if begin >= 0 else step.content
            placed[index] = found if step.content not in {"", before} else ""
        view.content = placed.get(index) or view.content
        before = view.text


def kept_steps(
    turn: TurnView, past: Conversation, tasks: Mapping[str, TaskSpec]
) -> list[AnsweredStep]:
    """The steps that were done, with what they worked on.

    Args:
        past: the conversation before the turn.
    """
    kept, before, earlier = [], "", bool(past.messages())
    for step in turn.steps:
        content = step.content or before
        if not isinstance(content, str):
            content = _whole(turn)[slice(*content)]
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


def _whole(turn: TurnView) -> str:
    """The request with the text of its files."""
    return f"{turn.text}\n\n{joined(turn.documents)}" if turn.attached else turn.text
