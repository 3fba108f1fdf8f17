"""What is to be done with the text of each row: a task by its name, or a written request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict

from agent import named_task
from agent.plan import Plan, Step
from agent.planning import slots
from agent.planning.planner import Planner
from core.errors import AsksBack, InputError
from tasks import languages
from tasks.spec import SlotValue, TaskSpec

SEPARATORS = regex.compile(r"\s*[,;，、；]\s*")
QUOTES = "[\"'`“”‘’「」『』]"
# Chinese has no spaces around a name.
BEGINS, ENDS = r"(?<![^\W\p{Han}])", r"(?![^\W\p{Han}])"
BEFORE = r"(?:\b(?:the\s+)?(?:column|field)\s*|[列栏欄]\s*|字段\s*)"
AFTER = r"(?:\s+(?:column|field)\b|\s*这?一?[列栏欄]|\s*字段)"


class AssignedStep(BaseModel):
    """A task, and the slot values that hold for every row; the others are found in each."""

    model_config = ConfigDict(frozen=True)

    task: str
    slots: dict[str, SlotValue] = {}


class Assignment(BaseModel):
    """The steps that each row goes through, the answer of each being the next one's text."""

    model_config = ConfigDict(frozen=True)

    steps: tuple[AssignedStep, ...]

    def plan(self, text: str, tasks: Mapping[str, TaskSpec]) -> Plan:
        """The plan of one row."""
        language, planned = languages.detect(text), list[Step]()
        for step in self.steps:
            task = tasks[step.task]
            values = slots.fill(task, "", language, language) | step.slots
            planned.append(Step(step.task, 1.0, values, text=None if planned else text))
            language = task.target_language(values) or language
        return Plan(tuple(planned), "chosen")


def of_task(task: TaskSpec, given: Mapping[str, str], planner: Planner) -> Assignment:
    """A task by its name.

    Args:
        given: slot -> value as a person writes it; labels are separated by commas.

    Raises:
        InputError: there is no such slot, or a value is none of it.
    """
    said: dict[str, SlotValue] = {}
    for name, value in given.items():
        listed = name in task.slots and task.slots[name].type == "labels"
        said[name] = [one for one in SEPARATORS.split(value) if one] if listed else value
    if (own := task.own_labels(said)) and len(set(own)) < 2:
        raise InputError(f"{task.name} needs two different labels or more, not {own}.")
    step = named_task.step_of(task, "text", (), given=said, planner=planner)
    return Assignment(
        steps=(AssignedStep(task=task.name, slots={name: step.slots[name] for name in said}),)
    )


def of_request(request: str, sample: str, planner: Planner) -> Assignment:
    """What a person wrote, such as "translate column text into French".

    Args:
        request: what is wished, with no column named in it, see `column_in`.
        sample: the text of some row.

    Raises:
        AsksBack: something is missing that only the person can say.
        InputError: it is no request.
    """
    plan = planner.plan(request, content=sample)
    if plan.question:
        raise AsksBack(plan.question.message)
    language, steps = languages.detect(sample), list[AssignedStep]()
    for step in plan.steps:
        task = planner.tasks[step.task]
        found = task.source_slot if task.source_language(step.slots) == language else None
        known = {name: value for name, value in step.slots.items() if name != found}
        steps.append(AssignedStep(task=step.task, slots=known))
        language = task.target_language(step.slots) or language
    return Assignment(steps=tuple(steps))


def column_in(request: str, columns: Sequence[str]) -> tuple[str | None, str]:
    """The column that a request names, and the request without it: "sentiment of this text"."""
    this = "这段文字" if languages.HAN.search(request) else "this text"
    for column in sorted(columns, key=len, reverse=True):
        named = rf"{QUOTES}?{regex.escape(column)}{QUOTES}?"
        for pattern in (rf"{BEFORE}{named}{ENDS}", rf"{BEGINS}(?:the\s+)?{named}{AFTER}"):
            if found := regex.search(pattern, request, regex.I):
                return column, request[: found.start()] + this + request[found.end() :]
    return None, request


def said(assignment: Assignment) -> str:
    """The steps in a line, for people."""
    return " → ".join(
        step.task + "".join(f" {name}={_value(value)}" for name, value in step.slots.items())
        for step in assignment.steps
    )


def _value(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
