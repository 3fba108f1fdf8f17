"""Slot values that somebody gives beside the words of a request, in place of what these say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.plan import Plan
from core.errors import InputError
from tasks import languages
from tasks.spec import SlotValue, TaskSpec

Slots = Mapping[str, SlotValue]


def checked(task: TaskSpec, given: Slots) -> dict[str, SlotValue]:
    """The values as steps of the task have them.

    Raises:
        InputError: a value is none of its slot's, or there is no such slot.
    """
    values: dict[str, SlotValue] = {}
    for name, value in given.items():
        slot = task.slots.get(name)
        if slot is None:
            there = f"has {', '.join(task.slots)}" if task.slots else "has none"
            raise InputError(f"The task {task.name!r} has no slot {name!r}; it {there}.")
        if (slot.type == "labels") != isinstance(value, list):
            wanted = "a list of labels" if slot.type == "labels" else "one word"
            raise InputError(f"The slot {name!r} of {task.name!r} is {wanted}, not {value!r}.")
        if slot.type == "language":
            code = languages.parse(str(value))
            if code is None:
                raise InputError(f"{name}={value!r} is no language. Write its name or code: 'fr'.")
            value = code  # noqa: PLW2901
        values[name] = value
    return values


def with_slots(plan: Plan, given: Slots, tasks: Mapping[str, TaskSpec]) -> Plan:
    """The plan with the values in every step whose task has such a slot.

    Raises:
        InputError: see `checked`; or no step has such a slot.
    """
    steps, left = [], set(given)
    for step in plan.steps:
        own = {name: value for name, value in given.items() if name in tasks[step.task].slots}
        left -= own.keys()
        steps.append(replace(step, slots=step.slots | checked(tasks[step.task], own)))
    if left:
        raise InputError(f"No step of {' → '.join(plan.tasks)} has a slot {min(left)!r}.")
    return replace(plan, steps=tuple(steps))
