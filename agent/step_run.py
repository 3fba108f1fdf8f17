"""A step of a plan with everything it needs to run, and what it leaves behind."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from adapter_store.calibration import NOT_CALIBRATED, Calibration
from agent.adapter_choice import choose_adapter
from agent.events import AT_BEGIN, BlockTexts, Place, StepFinished
from agent.options import DEFAULT_OPTIONS, TurnOptions
from agent.plan import Step
from core import fingerprint
from documents.document import Document
from engine.interface import Engine, Usage
from tasks.spec import Decoding, Message, TaskSpec

CUT_SHORT = frozenset({"length", "loop", "time", "stop"})  # and can be gone on with


@dataclass(frozen=True)
class Begun:
    """An answer that ended at a limit and is to be gone on with.

    Attributes:
        texts: what the turn's steps have written, the last being the one that ended.
        place: as its `StepFinished` said.
        blocks: as its `BlockTexts` said, if it worked on files.
    """

    texts: tuple[str, ...]
    place: Place = AT_BEGIN
    blocks: BlockTexts | None = None

    @classmethod
    def of(
        cls, texts: Sequence[str], stopped: str, place: Place, blocks: BlockTexts | None = None
    ) -> Begun:
        """What to go on from after an answer's steps, and how and where the last of them ended."""
        if stopped in CUT_SHORT:
            return cls(tuple(texts), place, blocks)
        return cls((*texts, ""))  # it ended before its next step


@dataclass(frozen=True)
class TurnContext:
    """What every step of one turn shares; see `Agent.answer`.

    Attributes:
        documents: those whose text the first step's content ends with.
        conversation: tells conversations apart; empty where the turn is of none.
    """

    history: Sequence[Message] = ()
    stop: threading.Event = field(default_factory=threading.Event)
    explain: bool = True
    options: TurnOptions = DEFAULT_OPTIONS
    begun: Begun | None = None
    documents: Sequence[Document] = ()
    conversation: str = ""


@dataclass(frozen=True)
class StepRun:
    """A step with everything it needs to run.

    Attributes:
        tokens_left: how many it may write.
        begun: the beginning of its answer, which is gone on with; `place` as it came with that.
    """

    engine: Engine
    task: TaskSpec
    index: int
    step: Step
    content: str
    turn: TurnContext
    tokens_left: int = sys.maxsize
    begun: str = ""
    place: Place = AT_BEGIN

    @cached_property
    def adapter(self) -> str | None:
        """What answers the step, see `choose_adapter`; None is the bare base."""
        options = self.turn.options
        if options.adapter or self.task.name in options.use:
            return options.adapter or options.use[self.task.name]
        return choose_adapter(
            self.task,
            self.engine.adapters,
            slots=self.step.slots,
            labels=self.labels() if self.task.kind == "choose" else (),
            text=self.content,
            conversation=self.turn.conversation,
            allowed=options.allowed,
        )

    @property
    def decoding(self) -> Decoding:
        """The task's decoding with what this turn's options set in its place."""
        return self.turn.options.decoding(self.task.decoding)

    @cached_property
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


def finished(
    run: StepRun,
    text: str,
    usages: Sequence[Usage],
    labels: dict[str, float] | None = None,
    place: Place = AT_BEGIN,
) -> StepFinished:
    """The result of a step that ran."""
    return step_finished(
        text,
        index=run.index,
        usages=usages,
        fingerprints=run.fingerprints(),
        labels=labels,
        place=place,
    )


def step_finished(
    text: str,
    *,
    index: int,
    usages: Sequence[Usage] = (),
    fingerprints: dict[str, str] | None = None,
    labels: dict[str, float] | None = None,
    place: Place = AT_BEGIN,
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
        fingerprints=fingerprints or {},
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        place=place,
        probability=max(labels.values()) if labels else _probability(usages),
    )


def _probability(usages: Sequence[Usage]) -> float | None:
    """Of a written token: the geometric mean over those whose likelihood is known."""
    known = [(usage.logprob, usage.tokens) for usage in usages if usage.logprob is not None]
    tokens = sum(count for _, count in known)
    return math.exp(sum(mean * count for mean, count in known) / tokens) if tokens else None
