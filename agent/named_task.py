"""A task that was named, and not routed to: its slots, and what the adapter was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapter_store.scope import Scope
from agent.plan import Step
from agent.planning import slots
from agent.planning.given_slots import Slots, checked
from agent.planning.planner import Planner
from core.errors import AsksBack, InputError
from engine.interface import Adapters
from tasks import languages
from tasks.spec import Message, SlotValue, TaskSpec


def task_of(adapter: str, tasks: Mapping[str, TaskSpec], adapters: Adapters) -> TaskSpec | None:
    """The task that an adapter serves: one that lists it, or else the one that its record names."""
    for task in tasks.values():
        if adapter in task.adapters:
            return task
    return tasks.get(adapters.task(adapter))


def step_of(
    task: TaskSpec, text: str, history: Sequence[Message], given: Slots | None, planner: Planner
) -> Step:
    """The one step of a task on a message.

    Args:
        text: the message, without control characters.
        history: earlier turns, oldest first.
        given: slot values of the caller's own. With any, an empty mapping too, the whole message is
            the content; else the planner finds slots and content in it, as behind a slash command.

    Raises:
        InputError: a value is none of its slot's, or there is no such slot.
        AsksBack: something is missing that only the person can say.
    """
    if given is None:
        plan = planner.plan(text, history, task.name)
        if plan.question:
            raise AsksBack(plan.question.message)
        return plan.steps[0]
    language = languages.detect(text)
    values = slots.fill(task, "", language, language) | checked(task, given)
    task.fills(values)  # raises where a choice is none
    return Step(task.name, 1.0, values, text=text)


def within_scope(step: Step, task: TaskSpec, scope: Scope, said: str, given: Slots | None) -> Step:
    """The step with slot values that an adapter was trained for, where nobody named others.

    Args:
        said: the message.
        given: slot values of the caller's own.

    Raises:
        InputError: one that was named is another.
    """
    values = dict(step.slots)
    for name in sorted(scope.slots, key=lambda slot: slot == task.target_slot):  # it goes last
        known, value = scope.slots[name], values.get(name)
        if value in known:
            continue
        if name in (given or {}) or (name == task.target_slot and _asked_for(value, said)):
            raise InputError(
                f"This adapter was trained for {name}={' or '.join(known)}, not {value!r}. "
                "Name another model, or `auto`."
            )
        source = values.get(task.source_slot or "")
        values[name] = next((other for other in known if other != source), known[0])
    return replace(step, slots=values)


def _asked_for(language: SlotValue | None, said: str) -> bool:
    target = slots.find_target(said)
    return target is not None and target.code == language
