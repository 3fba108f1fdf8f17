"""One turn: plan the request, run each step on the engine, yield events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from agent import passthrough
from agent.cleaning import clean
from agent.events import Event, Failed, Finished, Planned, StepFinished, Waiting
from agent.fallback import answered
from agent.limits import Limits
from agent.options import NO_WISHES, Wishes
from agent.plan import Plan
from agent.planning.planner import Planner
from agent.steps import Turn, Work, run
from core.errors import PatchbayError
from core.settings import Settings
from engine.interface import Engine
from tasks.spec import Message, TaskSpec, conversation_task

Watch = Callable[[Iterator[Event]], Iterator[Event]]


class Agent:
    """Routes and answers. Holds no visitor's words between turns.

    Attributes:
        limits: how much a visitor may ask for, and the queue where every turn waits.
        stand_in: answers, with its own adapters, while the engine is away.
        watch: what every turn's events pass through, unchanged, on their way out.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Mapping[str, TaskSpec],
        planner: Planner,
        limits: Limits | None = None,
        stand_in: Engine | None = None,
    ) -> None:
        self.engine, self.stand_in = engine, stand_in
        self.tasks = tasks
        self.planner = planner
        self.limits = limits or Limits(Settings())
        self.watch: Watch = iter

    def answer(
        self,
        text: str,
        history: Sequence[Message] = (),
        task: str | None = None,
        stop: threading.Event | None = None,
        explain: bool = True,
        wishes: Wishes = NO_WISHES,
    ) -> Iterator[Event]:
        """Answer the last message of a conversation.

        Args:
            text: what the person wrote.
            history: earlier turns, oldest first.
            task: answer with this task, whatever the router thinks.
            stop: set it to end the computation. Closing the iterator does the same.
            explain: say which words carried a choice (a dozen more forward passes).
            wishes: what the person wants in place of the tasks' own decoding.

        Expected errors never raise: the last event is `Failed`.
        """
        turn = Turn(history, stop or threading.Event(), explain, wishes)
        return self._told(self._answer(text, task, turn), turn)

    def carry_out(
        self, plan: Plan, stop: threading.Event | None = None, wishes: Wishes = NO_WISHES
    ) -> Iterator[Event]:
        """Run a plan that is made already; its first step has its text. Ends as `answer`."""
        turn = Turn(stop=stop or threading.Event(), explain=False, wishes=wishes)
        return self._told(self._run(plan, turn, plan.steps[0].text or ""), turn)

    def go_on(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        stop: threading.Event | None = None,
        wishes: Wishes = NO_WISHES,
    ) -> Iterator[Event]:
        """Write after messages as they stand, with one adapter or the bare base: no task, no plan.

        What is not wished comes from the task that the adapter serves, or else from conversation.
        Ends as `answer`.
        """
        serving = (task for task in self.tasks.values() if adapter in task.adapters)
        own = next(serving, conversation_task(self.tasks)).decoding
        most = min(wishes.max_tokens or own.max_new_tokens, self.limits.max_answer_tokens)
        turn = Turn(stop=stop or threading.Event(), wishes=replace(wishes, max_tokens=most))

        def attempt(engine: Engine) -> Iterator[Event]:
            return passthrough.run(engine, messages, adapter, own, turn)

        return self._told(answered(0, self.engine, self.stand_in, attempt), turn)

    def close(self) -> None:
        """End every request and free the model."""
        for engine in (self.engine, self.stand_in):
            if engine:
                engine.close()

    def _told(self, events: Iterator[Event], turn: Turn) -> Iterator[Event]:
        return self.watch(self._ended(self._queued(events, turn)))

    def _queued(self, events: Iterator[Event], turn: Turn) -> Iterator[Event]:
        with self.limits.queue.enqueue(turn.wishes.visitor, turn.stop) as positions:
            waited = False
            for position in positions:
                waited = True
                yield Waiting(position)
            if waited and turn.stop.is_set():
                yield Finished("", {}, 0, 0.0, "stop")
            else:
                yield from events

    def _ended(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except PatchbayError as error:
            yield Failed(str(error), type(error).__name__)

    def _answer(self, text: str, task: str | None, turn: Turn) -> Iterator[Event]:
        text = clean(text)
        yield from self._run(self.planner.plan(text, turn.history, task), turn, text)

    def _run(self, plan: Plan, turn: Turn, text: str) -> Iterator[Event]:
        yield Planned(plan)
        results: list[StepFinished] = []
        most = self.limits.max_answer_tokens
        left = min(turn.wishes.max_tokens or most, most)
        stopped = "end"
        for index, step in enumerate(plan.steps):
            spec = self.tasks[step.task]
            if left == 0 and spec.kind == "write":
                stopped = "length"
                break
            content = step.text or (results[-1].text if results else text)
            if results and step.text and spec.conversation:
                content = f"{step.text}\n\n{self._worked_on(plan, index, results)}"
            work = Work(self.engine, spec, index, step, content, turn, left)
            for event in run(work, self.stand_in):
                if isinstance(event, StepFinished):
                    results.append(event)
                yield event
            stopped = results[-1].stopped
            if spec.kind == "write":
                left = max(0, left - results[-1].tokens)
            if stopped in {"stop", "time", "until"} or not results[-1].text:
                break
        last = results[-1]
        tokens = sum(result.tokens for result in results)
        seconds = sum(result.seconds for result in results)
        yield Finished(last.text, last.labels, tokens, seconds, stopped)

    def _worked_on(self, plan: Plan, index: int, results: list[StepFinished]) -> str:
        """What something is to be written about: a written result, or the text that was judged."""
        before = plan.steps[index - 1]
        written = self.tasks[before.task].kind == "write"
        return results[-1].text if written else plan.steps[0].text or results[-1].text
