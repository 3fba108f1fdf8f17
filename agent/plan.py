"""What the planner decides: an ordered list of steps, each with its task, slots and content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from core.errors import InputError
from tasks.spec import SlotValue

Reason = Literal["command", "chosen", "picked", "router", "follow-up", "abilities"]


@dataclass(frozen=True)
class Step:
    """One task to run.

    Attributes:
        task: the task's name.
        confidence: calibrated probability that the plan is right, 0 to 1.
        slots: slot name -> ISO 639-1 code, choice name, or list of labels.
        nearest: the task's sample request most like what was asked; empty for a command.
        text: the content to work on; None means the output of the step before.
    """

    task: str
    confidence: float
    slots: dict[str, SlotValue] = field(default_factory=dict)
    nearest: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Question:
    """What must be asked back before anything can be done.

    Attributes:
        about: a `text` to work on is missing, or there is only a `link`, or the `language` asked
            for is not known; `help` lists the commands.
        message: the question, in the language of the request where that is English or Chinese.
        asked: the instruction that it is about.
        unclear: the words of it that a reply about the `language` stands in the place of.
        suggested: what stands there where the reply agrees.
        task: the person's own choice of task, if there is one.
    """

    about: Literal["text", "link", "language", "help"]
    message: str
    asked: str = ""
    unclear: str = ""
    suggested: str = ""
    task: str | None = None


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run; the output of each feeds the next.

    Attributes:
        steps: at least one.
        reason: who decided: a slash command, the person's own choice of a task, their pick of one
            of two plans, the router, or the conversation before. `abilities`: the request asks what
            can be done here, and no model answers it.
        milliseconds: what deciding cost.
        question: what has to be asked back instead of running the steps.
        alternatives: the next likeliest plans, as task names, with their probabilities.
        alternative: the next likeliest plan, of an uncertain one; None where there is no other.
        uncertain: whether the plan is likelier to be wrong than what may go unasked.
    """

    steps: tuple[Step, ...]
    reason: Reason
    milliseconds: float = 0.0
    question: Question | None = None
    alternatives: tuple[tuple[tuple[str, ...], float], ...] = ()
    alternative: Plan | None = None
    uncertain: bool = False

    @property
    def confidence(self) -> float:
        """Probability that the plan is right, 0 to 1."""
        return min(step.confidence for step in self.steps)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The steps' tasks in order."""
        return tuple(step.task for step in self.steps)

    def picked(self, tasks: Sequence[str]) -> Plan:
        """This plan or its alternative, whichever has these tasks, because a person picked it.

        Raises:
            InputError: neither has them.
        """
        for plan in (self, self.alternative):
            if plan and plan.tasks == tuple(tasks):
                steps = tuple(replace(step, confidence=1.0) for step in plan.steps)
                sure = replace(plan, steps=steps, reason="picked", milliseconds=self.milliseconds)
                return replace(sure, alternatives=(), alternative=None, uncertain=False)
        raise InputError(
            f"The plan {' → '.join(tasks)} is not among those this request may mean any more. "
            "Send the request again."
        )
