"""One turn: plan the request, run each step on the engine, yield events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from agent import abilities, passthrough
from agent.cleaning import clean
from agent.events import (
    AT_BEGIN,
    Event,
    Failed,
    Finished,
    Notice,
    Planned,
    Progress,
    StepFinished,
    StepStarted,
    Waiting,
)
from agent.fallback import with_fallback
from agent.limits import Limits
from agent.named_task import step_of, within_scope
from agent.options import DEFAULT_OPTIONS, TurnOptions
from agent.plan import Plan
from agent.planning.given_slots import Slots, with_slots
from agent.planning.planner import Planner
from agent.step_run import Begun, StepRun, TurnContext, step_finished
from agent.steps import run_step
from core.errors import AsksBack, InputError, PatchbayError
from core.settings import Settings
from documents.document import Document, joined
from engine.encoder import SentenceEncoder
from engine.interface import Engine
from tasks.spec import Message, TaskSpec, conversation_task

# An answer with tools repeats what stands before it: names, and values for their arguments.
COPYING = {"repetition_penalty": 1.0, "dry_multiplier": 0.0}
SYSTEM_LEFT_OUT = (
    "The system message was left out: this task has a prompt of its own. With "
    '`"patchbay": {"raw": true}` the messages are read as they stand.'
)
Watch = Callable[[Iterator[Event]], Iterator[Event]]


class Agent:
    """Routes and answers. Holds no visitor's words between turns.

    Attributes:
        limits: how much a visitor may ask for, and the queue where every turn waits.
        fallback: answers, with its own adapters, while the engine is away.
        encoder: puts texts into vectors, for programs.
        watch: what every turn's events pass through, unchanged, on their way out.
    """

    def __init__(
        self,
        engine: Engine,
        tasks: Mapping[str, TaskSpec],
        planner: Planner,
        limits: Limits | None = None,
        fallback: Engine | None = None,
        encoder: SentenceEncoder | None = None,
    ) -> None:
        self.engine, self.fallback = engine, fallback
        self.tasks = tasks
        self.planner = planner
        self.limits = limits or Limits(Settings())
        self.encoder = encoder or SentenceEncoder()
        self.watch: Watch = iter

    def answer(
        self,
        text: str,
        history: Sequence[Message] = (),
        *,
        task: str | None = None,
        content: str | None = None,
        documents: Sequence[Document] = (),
        picked: Sequence[str] | None = None,
        slots: Slots | None = None,
        ask: bool = False,
        stop: threading.Event | None = None,
        explain: bool = True,
        options: TurnOptions = DEFAULT_OPTIONS,
        begun: Begun | None = None,
    ) -> Iterator[Event]:
        """Answer the last message of a conversation.

        Args:
            text: what the person wrote.
            history: earlier turns, oldest first.
            task: answer with this task, whatever the planner thinks.
            content: the text to work on, where it came apart from what the person wrote. None of
                it is read as instruction.
            documents: files that are content too, after `content`. Steps see their blocks.
            picked: the tasks of the plan that the person picked, of the two that were offered.
            slots: values that the person chose, for every step whose task has such a slot.
            ask: offer the two likeliest plans where the planner is uncertain, in place of acting:
                the events are then `Planned` and `Failed` with the kind `AsksBack`.
            stop: set it to end the computation. Closing the iterator does the same.
            explain: say which words carried a choice (a dozen more forward passes).
            options: decoding in place of the tasks' own, and who may answer whom.
            begun: what has come of the same request, where it ended at a limit: it is gone on with
                as if it had not ended, with the same options. The events begin with the step that
                ended, whose first TextDelta is the text that stands.

        Expected errors never raise: the last event is `Failed`.
        """
        turn = TurnContext(
            history=history,
            stop=stop or threading.Event(),
            explain=explain,
            options=options,
            documents=documents,
            begun=begun,
            conversation=_conversation(options.visitor, history, text),
        )
        parts = [content, joined(documents)]
        content = "\n\n".join(part for part in parts if part) or None
        events = self._answer(
            text, turn, task=task, content=content, picked=picked, slots=slots, ask=ask
        )
        return self._guarded(events, turn)

    def perform(
        self,
        text: str,
        history: Sequence[Message] = (),
        *,
        task: str,
        adapter: str | None = None,
        slots: Slots | None = None,
        stop: threading.Event | None = None,
        options: TurnOptions = DEFAULT_OPTIONS,
    ) -> Iterator[Event]:
        """Do one task on the last message of a conversation, unrouted. Ends as `answer`.

        Args:
            task: its name.
            adapter: does it, in place of the task's own pick.
            slots: values of the caller's own; see `named_task.step_of`.
        """
        turn = TurnContext(
            history=history,
            stop=stop or threading.Event(),
            explain=False,
            options=replace(options, adapter=adapter),
        )
        return self._guarded(self._perform(text, self.tasks[task], slots, turn), turn)

    def run_plan(
        self,
        plan: Plan,
        *,
        stop: threading.Event | None = None,
        options: TurnOptions = DEFAULT_OPTIONS,
    ) -> Iterator[Event]:
        """Run a plan that is made already; its first step has its text. Ends as `answer`."""
        turn = TurnContext(stop=stop or threading.Event(), explain=False, options=options)
        return self._guarded(self._run(plan, turn, plan.steps[0].text or ""), turn)

    def run_row(
        self,
        plan: Plan,
        *,
        stop: threading.Event | None = None,
        options: TurnOptions = DEFAULT_OPTIONS,
    ) -> Iterator[Event]:
        """Run a plan for a row of a table; its first step has its text.

        It is no turn: it stands behind all of them, is not counted with them, and no other engine
        stands in for one that is away.

        Raises:
            PatchbayError: there is no answer.
        """
        turn = TurnContext(stop=stop or threading.Event(), explain=False, options=options)
        return self._run(plan, turn, plan.steps[0].text or "")

    def complete(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        *,
        begun: str = "",
        stop: threading.Event | None = None,
        options: TurnOptions = DEFAULT_OPTIONS,
    ) -> Iterator[Event]:
        """Write after messages as they stand, with one adapter or the bare base: no task, no plan.

        What the options leave comes from the task that the adapter serves, or else from
        conversation. Tools are the engine's alone, and nothing stands in for it. `begun` is the
        beginning of the answer, which does not come again. Ends as `answer`.
        """
        serving = (task for task in self.tasks.values() if adapter in task.adapters)
        default = next(serving, conversation_task(self.tasks)).decoding
        if options.tools:
            default = default.model_copy(update=COPYING)
        most = min(options.max_tokens or default.max_new_tokens, self.limits.max_answer_tokens)
        turn = TurnContext(
            stop=stop or threading.Event(), options=replace(options, max_tokens=most)
        )

        def attempt(engine: Engine) -> Iterator[Event]:
            return passthrough.complete(
                engine, messages, adapter=adapter, default=default, begun=begun, turn=turn
            )

        of_tools = options.tools or any("calls" in message for message in messages)
        fallback = None if of_tools else self.fallback
        events = with_fallback(attempt, index=0, engine=self.engine, fallback=fallback)
        return self._guarded(events, turn)

    def go_on(
        self,
        prompt: str | Sequence[int],
        adapter: str | None,
        *,
        echo: bool = False,
        stop: threading.Event | None = None,
        options: TurnOptions = DEFAULT_OPTIONS,
    ) -> Iterator[Event]:
        """Write after a text, or token ids, without a chat template. Ends as `answer`.

        `max_tokens` may be 0 here; with `echo` the prompt comes first, see `passthrough.go_on`.
        """
        turn = TurnContext(stop=stop or threading.Event(), options=options)
        events = passthrough.go_on(self.engine, prompt, adapter=adapter, echo=echo, turn=turn)
        return self._guarded(events, turn)

    def close(self) -> None:
        """End every request and free the model."""
        for engine in (self.engine, self.fallback):
            if engine:
                engine.close()

    def _guarded(self, events: Iterator[Event], turn: TurnContext) -> Iterator[Event]:
        """The events once the queue lets the turn in; an expected error becomes the last one."""
        return self.watch(_errors_as_events(self._queued(events, turn)))

    def _queued(self, events: Iterator[Event], turn: TurnContext) -> Iterator[Event]:
        with self.limits.queue.enqueue(turn.options.visitor, turn.stop) as positions:
            waited = False
            for position in positions:
                waited = True
                yield Waiting(position)
            if waited and turn.stop.is_set():
                yield Finished("", labels={}, tokens=0, seconds=0.0, stopped="stop")
            else:
                yield from events

    def _answer(
        self,
        text: str,
        turn: TurnContext,
        *,
        task: str | None,
        content: str | None,
        picked: Sequence[str] | None,
        slots: Slots | None,
        ask: bool,
    ) -> Iterator[Event]:
        text = clean(text)
        plan = self.planner.plan(text, turn.history, task, content)
        if turn.options.grammar and plan.reason in {"router", "follow-up", "abilities"}:
            # A form of its own is a wish to somebody who writes freely; no skill was named.
            chat = conversation_task(self.tasks).name
            plan = self.planner.plan(text, turn.history, chat, content)
        if picked:
            plan = plan.picked(picked)
        if slots:
            plan = with_slots(plan, slots, self.tasks)
        if plan.question:
            yield Planned(plan)
            raise AsksBack(plan.question.message)
        if ask and plan.uncertain and plan.alternative:
            yield Planned(plan)
            raise AsksBack(self._which(plan, plan.alternative))
        if plan.reason == "abilities":
            yield from abilities.answer(self, plan, text, turn.options.allowed)
        else:
            yield from self._run(plan, turn, text)

    def _perform(
        self, text: str, task: TaskSpec, given: Slots | None, turn: TurnContext
    ) -> Iterator[Event]:
        text, adapter = clean(text), turn.options.adapter
        step = step_of(task, text, turn.history, given=given, planner=self.planner)
        if adapter:
            step = within_scope(
                step, task, self.engine.adapters.scope(adapter), said=text, given=given
            )
        instructed = any(message["role"] == "system" for message in turn.history)
        for event in self._run(Plan((step,), "chosen"), turn, text):
            yield event
            if isinstance(event, StepStarted) and instructed and not task.conversation:
                yield Notice(0, "system_left_out", SYSTEM_LEFT_OUT)

    def _run(self, plan: Plan, turn: TurnContext, text: str) -> Iterator[Event]:
        yield Planned(plan)
        results: list[StepFinished] = []
        most = self.limits.max_answer_tokens
        left = min(turn.options.max_tokens or most, most)
        stopped = "end"
        *done, begun = _stands(plan, turn.begun)
        results += [step_finished(text, index=index) for index, text in enumerate(done)]
        for index, step in list(enumerate(plan.steps))[len(done) :]:
            spec = self.tasks[step.task]
            if left == 0 and spec.kind == "write":
                stopped = "length"
                break
            content = step.text or (results[-1].text if results else text)
            if results and step.text and spec.conversation:
                content = f"{step.text}\n\n{self._subject(plan, index, results)}"
            step_run = StepRun(
                engine=self.engine,
                task=spec,
                index=index,
                step=step,
                content=content,
                turn=turn,
                tokens_left=left,
                begun=begun if index == len(done) else "",
                place=turn.begun.place if turn.begun and index == len(done) else AT_BEGIN,
            )
            for event in run_step(step_run, None if turn.options.batch else self.fallback):
                if isinstance(event, StepFinished):
                    results.append(event)
                yield event
                others = self.limits.queue.running - 1
                if isinstance(event, StepStarted) and others > 0 and not turn.options.batch:
                    yield Progress(index, "others", others, others + 1)
            stopped = results[-1].stopped
            if spec.kind == "write":
                last = results[-1]
                used = last.tokens if last.answer_tokens is None else last.answer_tokens
                left = max(0, left - used)
            if stopped in {"stop", "time", "until", "loop"} or not results[-1].text:
                break
        yield Finished(
            results[-1].text,
            labels=results[-1].labels,
            tokens=sum(result.tokens for result in results),
            seconds=sum(result.seconds for result in results),
            stopped=stopped,
        )

    def _which(self, *plans: Plan) -> str:
        named = (" → ".join(self.tasks[task].title.en for task in plan.tasks) for plan in plans)
        return f"This may mean {' or '.join(named)}. Say which."

    def _subject(self, plan: Plan, index: int, results: list[StepFinished]) -> str:
        """What something is to be written about: a written result, or the text that was judged."""
        before = plan.steps[index - 1]
        written = self.tasks[before.task].kind == "write"
        return results[-1].text if written else plan.steps[0].text or results[-1].text


def _conversation(visitor: str, history: Sequence[Message], text: str) -> str:
    """A conversation's own name: who began it, and with what."""
    asked = (message["content"] for message in history if message["role"] == "user")
    return f"{visitor}\n{next(asked, text)}"


def _stands(plan: Plan, begun: Begun | None) -> tuple[str, ...]:
    """What an answer's steps have written already, the last of them not to its end.

    Raises:
        InputError: it was planned in other steps.
    """
    if begun is None:
        return ("",)
    if len(begun.texts) > len(plan.steps):
        raise InputError(
            f"{len(begun.texts)} steps of an answer stand, and the request is planned in "
            f"{len(plan.steps)}: it cannot be gone on with. Ask again."
        )
    return begun.texts


def _errors_as_events(events: Iterator[Event]) -> Iterator[Event]:
    try:
        yield from events
    except PatchbayError as error:
        yield Failed(str(error), type(error).__name__)
