"""Run one step of a plan on the engine: write a text, or choose among labels."""

from __future__ import annotations

import math
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from agent import segments
from agent.adapter_choice import adapter_for
from agent.events import Event, Highlighted, Notice, StepFinished, StepStarted, TextDelta
from agent.fallback import answered
from agent.options import NO_WISHES, Wishes
from agent.plan import Step
from core import fingerprint
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

MOST_PIECES = 12  # occlusion costs one forward pass a piece
LEAST_ROOM = 24  # tokens an answer may always have


@dataclass(frozen=True)
class Turn:
    """What every step of one turn shares; see `Agent.answer`."""

    history: Sequence[Message] = ()
    stop: threading.Event = field(default_factory=threading.Event)
    explain: bool = True
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True)
class Work:
    """A step with everything it needs to run. `left` is how many tokens it may write."""

    engine: Engine
    task: TaskSpec
    index: int
    step: Step
    content: str
    turn: Turn
    left: int = sys.maxsize

    @cached_property
    def adapter(self) -> str | None:
        """What answers the step, see `serving.adapter_for`; None is the bare base."""
        labels = self.labels() if self.task.kind == "choose" else ()
        shelf = self.engine.adapters
        return adapter_for(self.task, self.step.slots, labels, self.content, shelf)

    @property
    def decoding(self) -> Decoding:
        """The task's decoding with what this turn wishes in its place."""
        return self.turn.wishes.decoding(self.task.decoding)

    @property
    def temperature(self) -> float:
        """What label scores are divided by."""
        return self.engine.adapters.temperature(self.adapter) if self.adapter else 1.0

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
        made = {**self.engine.fingerprints(), "task": self.task.fingerprint}
        made["decoding"] = fingerprint_of(self.decoding, self.turn.wishes)
        if self.adapter:
            made["adapter"] = self.engine.adapters.fingerprint(self.adapter)
            if self.task.kind == "choose":
                made["temperature"] = f"{self.temperature:g}"
        return made


def fingerprint_of(decoding: Decoding, wishes: Wishes) -> str:
    """Changes with anything about the decoding that can change a text."""
    ends = {"until": wishes.until} if wishes.until else {}
    return fingerprint.of_value(decoding.model_dump() | ends)


def run(work: Work, stand_in: Engine | None = None) -> Iterator[Event]:
    """Yield the events of one step, from StepStarted to StepFinished.

    Args:
        stand_in: answers where the work's engine is away, with its own adapters.

    Raises:
        NotAllowed: the turn may not use the adapter that answers the step.
    """
    yield from answered(
        work.index, work.engine, stand_in, lambda engine: _run(replace(work, engine=engine))
    )


def _run(work: Work) -> Iterator[Event]:
    work.turn.wishes.check(work.adapter)
    yield StepStarted(work.index, work.step, work.adapter)
    yield from _choose(work) if work.task.kind == "choose" else _write(work)


def _write(work: Work) -> Iterator[Event]:
    history, dropped = _fitting(work)
    if dropped:
        yield Notice(
            work.index,
            "history_dropped",
            f"The first {dropped} messages no longer fit and were left out of this answer.",
            {"dropped": dropped},
        )
    text, usages = "", list[Usage]()
    for item in _written(work, history):
        if isinstance(item, Usage):
            usages.append(item)
        else:
            text += item.text
            yield TextDelta(work.index, item.text, item.tokens)
    yield _finished(work, text.strip(), {}, usages)


def _written(work: Work, history: Sequence[Message]) -> Iterator[Delta | Usage]:
    wishes, left = work.turn.wishes, work.left
    for piece in _pieces(work):
        if piece.before:
            yield Delta(piece.before)
        if piece.core:
            if left == 0:
                yield Usage(0, 0, 0.0, 0.0, "length")
                return
            stopped: StopReason = "end"
            messages = work.messages(piece.core, history)
            decoding = _decoding(work, piece.core, left)
            request = WriteRequest(
                messages, work.adapter, decoding, until=wishes.until, logprobs=wishes.logprobs
            )
            for item in work.engine.write(request, work.turn.stop):
                if isinstance(item, Usage):
                    stopped = item.stopped
                    left = max(0, left - item.tokens)
                yield item
            if stopped in {"stop", "time", "until"}:
                return
        if piece.after:
            yield Delta(piece.after)


def _pieces(work: Work) -> Iterator[segments.Piece]:
    if work.task.split == "none":
        return iter([segments.Piece("", work.content, "")])
    language = work.task.source_language(work.step.slots) or "en"
    return segments.sentences(work.content, language)


def _decoding(work: Work, core: str, left: int) -> Decoding:
    most = min(work.decoding.max_new_tokens, left)
    if work.task.max_ratio is not None:
        length = work.engine.count_tokens(({"role": "user", "content": core},))
        most = min(most, max(LEAST_ROOM, math.ceil(work.task.max_ratio * length)))
    return work.decoding.model_copy(update={"max_new_tokens": most})


def _fitting(work: Work) -> tuple[Sequence[Message], int]:
    """The latest turns that fit beside the request and a full answer; how many were left out."""
    if not work.task.conversation:
        return (), 0
    system = [turn for turn in work.turn.history if turn["role"] == "system"]
    turns = [turn for turn in work.turn.history if turn["role"] != "system"]
    room = work.engine.context_tokens - work.task.decoding.max_new_tokens

    def fits(dropped: int) -> bool:
        messages = work.messages(work.content, system + turns[dropped:])
        return work.engine.count_tokens(messages) <= room

    if fits(0):
        return system + turns, 0
    drops = [*range(2, len(turns), 2), len(turns)]  # a question leaves with its answer
    dropped = drops[min(bisect_left(drops, True, key=fits), len(drops) - 1)]
    return system + turns[dropped:], dropped


def _choose(work: Work) -> Iterator[Event]:
    choice = _score(work, work.content)
    if choice.usage.stopped != "end":
        yield _finished(work, "", {}, [choice.usage])
        return
    chances = _weighed(work, choice)
    best = next(iter(chances))
    yield _finished(work, best, chances, [choice.usage])
    if work.turn.explain and not work.turn.stop.is_set():
        weights = list(_weights(work, chances[best], best))
        if not work.turn.stop.is_set():
            yield Highlighted(work.index, weights)


def _weighed(work: Work, choice: Choice) -> dict[str, float]:
    """Label as the task names it -> calibrated probability, the likeliest first."""
    return _named(calibrated(choice.logprobs, work.temperature), work.labels())


def _score(work: Work, content: str) -> Choice:
    request = ChooseRequest(work.messages(content), tuple(work.labels()), work.adapter)
    return work.engine.choose(request, work.turn.stop)


def _weights(work: Work, whole: float, best: str) -> Iterator[tuple[str, float]]:
    """Occlusion: how far the winning label's probability falls without each piece."""
    parts = segments.groups(work.content, MOST_PIECES)
    for i, part in enumerate(parts):
        rest = "".join(parts[:i] + parts[i + 1 :]).strip()
        choice = _score(work, rest) if rest else None
        if work.turn.stop.is_set():
            return
        if choice is None or choice.usage.stopped != "end":
            yield part, 0.0
        else:
            yield part, whole - _weighed(work, choice)[best]


def calibrated(logprobs: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Label probabilities: softmax of log-likelihoods over temperature."""
    top = max(logprobs.values())
    weights = {label: math.exp((value - top) / temperature) for label, value in logprobs.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _named(chances: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    ordered = sorted(chances.items(), key=lambda item: -item[1])
    return {names[label]: chance for label, chance in ordered}


def _finished(
    work: Work, text: str, labels: dict[str, float], usages: Sequence[Usage]
) -> StepFinished:
    return StepFinished(
        index=work.index,
        text=text,
        labels=labels,
        tokens=sum(usage.tokens for usage in usages),
        seconds=sum(usage.seconds for usage in usages),
        first_token=usages[0].first_token if usages else 0.0,
        stopped=usages[-1].stopped if usages else "end",
        fingerprints=work.fingerprints(),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
    )
