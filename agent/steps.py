"""Run one step of a plan on the engine: write a text, or choose among labels."""

from __future__ import annotations

import math
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from adapter_store.calibration import NOT_CALIBRATED, Calibration
from agent import segments, verbatim
from agent.adapter_choice import choose_adapter
from agent.events import Event, Highlighted, Notice, StepFinished, StepStarted, TextDelta
from agent.fallback import with_fallback
from agent.options import DEFAULT_OPTIONS, TurnOptions
from agent.plan import Step
from core import fingerprint
from core.errors import InputError
from engine.interface import (
    Choice,
    ChooseRequest,
    Delta,
    Engine,
    StopReason,
    Usage,
    WriteRequest,
)
from tasks.spec import Decoding, Message, TaskSpec

MAX_OCCLUDED = 12  # segments of a text; occlusion costs one forward pass each
MIN_ANSWER_TOKENS = 24  # an answer may always have so many
OUT_OF_TOKENS = Usage(prompt_tokens=0, tokens=0, seconds=0.0, first_token=0.0, stopped="length")


@dataclass(frozen=True)
class TurnContext:
    """What every step of one turn shares; see `Agent.answer`."""

    history: Sequence[Message] = ()
    stop: threading.Event = field(default_factory=threading.Event)
    explain: bool = True
    options: TurnOptions = DEFAULT_OPTIONS


@dataclass(frozen=True)
class StepRun:
    """A step with everything it needs to run. `tokens_left` is how many it may write."""

    engine: Engine
    task: TaskSpec
    index: int
    step: Step
    content: str
    turn: TurnContext
    tokens_left: int = sys.maxsize

    @cached_property
    def adapter(self) -> str | None:
        """What answers the step, see `choose_adapter`; None is the bare base."""
        return self.turn.options.adapter or choose_adapter(
            self.task,
            self.engine.adapters,
            slots=self.step.slots,
            labels=self.labels() if self.task.kind == "choose" else (),
            text=self.content,
        )

    @property
    def decoding(self) -> Decoding:
        """The task's decoding with what this turn's options set in its place."""
        return self.turn.options.decoding(self.task.decoding)

    @property
    def calibration(self) -> Calibration:
        """What label scores are shifted by and divided by."""
        return self.engine.adapters.calibration(self.adapter) if self.adapter else NOT_CALIBRATED

    def labels(self) -> dict[str, str]:
        """Label as the prompt says it -> label as the task names it."""
        if own := self.task.own_labels(self.step.slots):
            return {label: label for label in own}
        return {both.en: name for name, both in self.task.labels.items()}

    def fills(self) -> dict[str, str]:
        """What each slot says in the prompt."""
        return self.task.fills(self.step.slots, self.labels())

    def messages(self, content: str, history: Sequence[Message] = ()) -> tuple[Message, ...]:
        """The prompt for the content."""
        return tuple(self.task.messages(content, self.fills(), history))

    def fingerprints(self) -> dict[str, str]:
        """What made the answer."""
        prints = {**self.engine.fingerprints(), "task": self.task.fingerprint}
        prints["decoding"] = decoding_fingerprint(self.decoding, self.turn.options)
        if self.adapter:
            prints["adapter"] = self.engine.adapters.fingerprint(self.adapter)
            if self.task.kind == "choose":
                prints["temperature"] = f"{self.calibration.temperature:g}"
                prints |= self.calibration.fingerprints
        return prints


def decoding_fingerprint(decoding: Decoding, options: TurnOptions) -> str:
    """Changes with anything about the decoding that can change a text."""
    more: dict[str, Any] = {"until": options.until} if options.until else {}
    if options.grammar:
        more["grammar"] = (options.grammar.kind, options.grammar.text)
    if options.tools:
        more["tools"] = asdict(options.tools)
    return fingerprint.of_value(decoding.model_dump() | more)


def run_step(run: StepRun, fallback: Engine | None = None) -> Iterator[Event]:
    """Yield the events of one step, from StepStarted to StepFinished.

    Args:
        fallback: answers while the run's engine is away, with its own adapters.

    Raises:
        NotAllowed: the turn may not use the adapter that answers the step.
    """
    yield from with_fallback(
        lambda engine: _run_once(replace(run, engine=engine)),
        index=run.index,
        engine=run.engine,
        fallback=fallback,
    )


def _run_once(run: StepRun) -> Iterator[Event]:
    if run.turn.options.grammar and run.task.kind == "choose":
        raise InputError(
            f"The task {run.task.name!r} chooses a label and writes nothing, so its answer has no "
            "form of its own. Leave response_format out, or ask /v1/classify."
        )
    run.turn.options.require_allowed(run.adapter)
    yield StepStarted(run.index, run.step, run.adapter)
    yield from _choose(run) if run.task.kind == "choose" else _write(run)


def _write(run: StepRun) -> Iterator[Event]:
    history, dropped = _fitting(run)
    if dropped:
        yield Notice(
            run.index,
            "history_dropped",
            f"The first {dropped} messages no longer fit and were left out of this answer.",
            {"dropped": dropped},
        )
    text, usages = "", list[Usage]()
    for item in _write_segments(run, history):
        if isinstance(item, Usage):
            usages.append(item)
        elif item.text or item.tokens:
            text += item.text
            yield TextDelta(run.index, item.text, item.tokens)
    whole = all(usage.stopped == "end" for usage in usages)
    if run.task.split == "sentences" and whole and (lost := verbatim.lost(run.content, text)):
        yield Notice(
            run.index,
            "not_kept",
            f"In the text, but not as it stands there in this answer: {', '.join(lost)}",
            words={"lost": ", ".join(lost)},
        )
    yield _finished(run, text.strip(), usages)


def _write_segments(run: StepRun, history: Sequence[Message]) -> Iterator[Delta | Usage]:
    options, left = run.turn.options, run.tokens_left
    for segment in _segments(run):
        if segment.before:
            yield Delta(segment.before)
        if segment.core:
            if left == 0:
                yield OUT_OF_TOKENS
                return
            stopped: StopReason = "end"
            restorer = verbatim.Restorer(segment.core if run.task.split == "sentences" else "")
            request = WriteRequest(
                run.messages(segment.core, history),
                run.adapter,
                _decoding(run, segment.core, left),
                until=options.until,
                logprobs=options.logprobs,
                grammar=options.grammar,
            )
            for item in run.engine.write(request, run.turn.stop):
                if isinstance(item, Usage):
                    stopped = item.stopped
                    left = max(0, left - item.tokens)
                    yield restorer.rest()
                    yield item
                else:
                    yield restorer.feed(item)
            if stopped in {"stop", "time", "until"}:
                return
        if segment.after:
            yield Delta(segment.after)


def _segments(run: StepRun) -> Iterator[segments.Segment]:
    if run.task.split == "none" or run.turn.options.grammar:  # which is of the whole answer
        return iter([segments.Segment("", run.content, "")])
    language = run.task.source_language(run.step.slots) or "en"
    return segments.sentences(run.content, language)


def _decoding(run: StepRun, core: str, left: int) -> Decoding:
    most = min(run.decoding.max_new_tokens, left)
    if run.task.max_ratio is not None and run.turn.options.grammar is None:
        length = run.engine.count_tokens(({"role": "user", "content": core},))
        most = min(most, max(MIN_ANSWER_TOKENS, math.ceil(run.task.max_ratio * length)))
    return run.decoding.model_copy(update={"max_new_tokens": most})


def _fitting(run: StepRun) -> tuple[Sequence[Message], int]:
    """The latest turns that fit beside the request and a full answer; how many were left out."""
    if not run.task.conversation:
        return (), 0
    system = [turn for turn in run.turn.history if turn["role"] == "system"]
    turns = [turn for turn in run.turn.history if turn["role"] != "system"]
    room = run.engine.context_tokens - run.task.decoding.max_new_tokens

    def fits(dropped: int) -> bool:
        messages = run.messages(run.content, system + turns[dropped:])
        return run.engine.count_tokens(messages) <= room

    if fits(0):
        return system + turns, 0
    drops = [*range(2, len(turns), 2), len(turns)]  # a question leaves with its answer
    dropped = drops[min(bisect_left(drops, x=True, key=fits), len(drops) - 1)]
    return system + turns[dropped:], dropped


def _choose(run: StepRun) -> Iterator[Event]:
    choice = score_labels(run, run.content)
    if choice.usage.stopped != "end":
        yield _finished(run, "", [choice.usage])
        return
    labels = _probabilities(run, choice)
    best = next(iter(labels))
    yield _finished(run, best, [choice.usage], labels)
    if run.turn.explain and not run.turn.stop.is_set():
        weights = list(_occlusion(run, best, labels[best]))
        if not run.turn.stop.is_set():
            yield Highlighted(run.index, weights)


def _probabilities(run: StepRun, choice: Choice) -> dict[str, float]:
    """Label as the task names it -> calibrated probability, the likeliest first."""
    probabilities = calibrated(choice.logprobs, run.calibration.temperature)
    return dict(sorted(probabilities.items(), key=lambda item: -item[1]))


def score_labels(run: StepRun, content: str) -> Choice:
    """The labels as the task names them, scored for the content, with the adapter's biases."""
    names = run.labels()
    request = ChooseRequest(run.messages(content), tuple(names), run.adapter)
    choice = run.engine.choose(request, run.turn.stop)
    named = {names[shown]: value for shown, value in choice.logprobs.items()}
    return replace(choice, logprobs=run.calibration.with_biases(named))


def _occlusion(run: StepRun, best: str, whole: float) -> Iterator[tuple[str, float]]:
    """How far the winning label's probability falls from the `whole` text's without each part."""
    parts = segments.groups(run.content, MAX_OCCLUDED)
    for i, part in enumerate(parts):
        rest = "".join(parts[:i] + parts[i + 1 :]).strip()
        choice = score_labels(run, rest) if rest else None
        if run.turn.stop.is_set():
            return
        if choice is None or choice.usage.stopped != "end":
            yield part, 0.0
        else:
            yield part, whole - _probabilities(run, choice)[best]


def calibrated(logprobs: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Label probabilities: softmax of log-likelihoods over temperature."""
    top = max(logprobs.values())
    weights = {label: math.exp((value - top) / temperature) for label, value in logprobs.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _finished(
    run: StepRun, text: str, usages: Sequence[Usage], labels: dict[str, float] | None = None
) -> StepFinished:
    return step_finished(
        text, index=run.index, usages=usages, fingerprints=run.fingerprints(), labels=labels
    )


def step_finished(
    text: str,
    *,
    index: int,
    usages: Sequence[Usage],
    fingerprints: dict[str, str],
    labels: dict[str, float] | None = None,
) -> StepFinished:
    """A step's result out of what the engine's requests for it cost, in their order."""
    return StepFinished(
        index=index,
        text=text,
        labels=labels or {},
        tokens=sum(usage.tokens for usage in usages),
        seconds=sum(usage.seconds for usage in usages),
        first_token=usages[0].first_token if usages else 0.0,
        stopped=usages[-1].stopped if usages else "end",
        fingerprints=fingerprints,
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
    )
