"""One turn: plan the request, run each step on the engine, yield events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from agent.cleaning import clean
from agent.events import Event, Failed, Finished, Planned, StepFinished
from agent.plan import Plan
from agent.planner import Planner
from agent.steps import Turn, Work, run
from core.errors import PatchbayError
from engine.interface import Engine
from tasks.spec import Message, TaskSpec


class Agent:
    """Routes and answers. Holds no visitor's words between turns."""

    def __init__(self, engine: Engine, tasks: Mapping[str, TaskSpec], planner: Planner) -> None:
        self.engine = engine
        self.tasks = tasks
        self.planner = planner

    def answer(
        self,
        text: str,
        history: Sequence[Message] = (),
        task: str | None = None,
        stop: threading.Event | None = None,
        explain: bool = True,
        seed: int = 0,
    ) -> Iterator[Event]:
        """Answer the last message of a conversation.

        Args:
            text: what the person wrote.
            history: earlier turns, oldest first.
            task: answer with this task, whatever the router thinks.
            stop: set it to end the computation. Closing the iterator does the same.
            seed: of the sampling; another one gives another answer where the task samples.
            explain: say which words carried a choice (a dozen more forward passes).

        Expected errors never raise: the last event is `Failed`.
        """
        try:
            turn = Turn(history, stop or threading.Event(), explain, seed)
            yield from self._turn(clean(text), task, turn)
        except PatchbayError as error:
            yield Failed(str(error), type(error).__name__)

    def _turn(self, text: str, task: str | None, turn: Turn) -> Iterator[Event]:
        plan = self.planner.plan(text, turn.history, task)
        yield Planned(plan)
        results: list[StepFinished] = []
        for index, step in enumerate(plan.steps):
            spec = self.tasks[step.task]
            content = step.text or (results[-1].text if results else text)
            if results and step.text and spec.conversation:
                content = f"{step.text}\n\n{self._worked_on(plan, index, results)}"
            for event in run(Work(self.engine, spec, index, step, content, turn)):
                if isinstance(event, StepFinished):
                    results.append(event)
                yield event
            if results[-1].stopped in {"stop", "time"} or not results[-1].text:
                break
        last = results[-1]
        tokens = sum(result.tokens for result in results)
        seconds = sum(result.seconds for result in results)
        yield Finished(last.text, last.labels, tokens, seconds, last.stopped)

    def _worked_on(self, plan: Plan, index: int, results: list[StepFinished]) -> str:
        """What something is to be written about: a written result, or the text that was judged."""
        before = plan.steps[index - 1]
        written = self.tasks[before.task].kind == "write"
        return results[-1].text if written else plan.steps[0].text or results[-1].text
