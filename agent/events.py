"""The frozen events of a turn, in order. The terminal, the page and the API draw them.

    Waiting*, Planned, then for each step
        StepStarted, Notice*, TextDelta*, Notice*, StepFinished
    then Finished; or Failed at any point, which is last. A turn that is stopped while it waits is
    Finished without a step. Where the engine turns out to be away before it says anything,
    StepStarted comes a second time: another engine begins the step anew.

A `choose` step sends no TextDelta: its StepFinished has the label probabilities, and
a Highlighted may follow it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.plan import Plan, Step
from engine.interface import Token
from tasks.spec import ToolCall


@dataclass(frozen=True)
class Waiting:
    """Others come first. `place` is the turn's in the queue, 1 being next."""

    place: int


@dataclass(frozen=True)
class Planned:
    """The request was routed."""

    plan: Plan


@dataclass(frozen=True)
class StepStarted:
    """A step begins. `adapter` None: the base answers with the task's prompt."""

    index: int
    step: Step
    adapter: str | None


@dataclass(frozen=True)
class Notice:
    """Something the person should know about the step, e.g. earlier turns left out.

    `kind` names it for translation; `numbers` and `words` fill the sentence; `message` is it in
    English. One about the finished text comes after it.
    """

    index: int
    kind: str
    message: str
    numbers: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TextDelta:
    """More text of the step, whole characters only, and calls of tools behind it. `tokens` where
    log-likelihoods were wished.
    """

    index: int
    text: str
    tokens: tuple[Token, ...] = ()
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class StepFinished:
    """A step's result.

    Attributes:
        text: the whole answer; for `choose` the winning label.
        labels: label -> probability, largest first; empty for `write`.
        tokens: tokens written, or scored for `choose`.
        seconds: wall time; `first_token` is the wait for the first piece.
        stopped: why it ended: `end`, `length`, `until` (a string that ends it), `stop` (the person)
            or `time`.
        fingerprints: base, quantization, adapter, task, decoding that made it.
        prompt_tokens: tokens read before those.
    """

    index: int
    text: str
    labels: dict[str, float]
    tokens: int
    seconds: float
    first_token: float
    stopped: str
    fingerprints: dict[str, str]
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Highlighted:
    """How much each piece of the text carried the decision of a `choose` step.

    `pieces` joined give the text back. A weight is the fall of the winning label's probability
    when the piece is left out (negative: the piece spoke against it).
    """

    index: int
    pieces: list[tuple[str, float]]


@dataclass(frozen=True)
class Finished:
    """The whole turn: the last step's text and labels, and the sums."""

    text: str
    labels: dict[str, float]
    tokens: int
    seconds: float
    stopped: str


@dataclass(frozen=True)
class Failed:
    """The turn ended with an error; `message` is safe to show, `kind` the error's class name."""

    message: str
    kind: str


Event = (
    Waiting
    | Planned
    | StepStarted
    | Notice
    | TextDelta
    | StepFinished
    | Highlighted
    | Finished
    | Failed
)
