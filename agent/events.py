"""The frozen events of a turn, in order. The terminal, the page and the API draw them.

    Waiting*, Planned, then for each step
        StepStarted, (Notice | Progress | TextDelta)*, StepFinished
    then Finished; or Failed at any point, which is last. A turn that is stopped while it waits is
    Finished without a step. Where the engine turns out to be away before it says anything,
    StepStarted comes a second time: another engine begins the step anew.

A `choose` step sends no TextDelta: its StepFinished has the label probabilities, and
a Highlighted may follow it. A text that is read in parts has Sources behind its StepFinished.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agent.plan import Plan, Step
from engine.interface import Token
from tasks.spec import Both, ToolCall


@dataclass(frozen=True)
class Waiting:
    """Others come first. `place` is the turn's in the queue, 1 being next."""

    place: int


@dataclass(frozen=True)
class Planned:
    """The request was routed."""

    plan: Plan


@dataclass(frozen=True)
class Measured:
    """How answers like a step's were judged.

    Attributes:
        figure: its name, as `evaluation` has it.
        low, high: the 95% interval.
        rows: that were judged.
        texts: what they were, in words.
        base: the bare base's figure on the same rows, where it was judged.
        language: of the texts, ISO 639-1, where they were all in one.
    """

    figure: str
    value: float
    low: float
    high: float
    rows: int
    texts: Both
    base: float | None = None
    language: str | None = None


@dataclass(frozen=True)
class StepStarted:
    """A step begins.

    Attributes:
        adapter: None: the base answers with the task's prompt.
        measured: how answers like this one were judged, the most alike first.
        temperature: that its text is drawn with; None where none is written.
        most: tokens that its text may have; None where pieces of it have limits of their own.
        content: the text that it works on.
    """

    index: int
    step: Step
    adapter: str | None
    measured: tuple[Measured, ...] = ()
    temperature: float | None = None
    most: int | None = None
    content: str = ""


@dataclass(frozen=True)
class Notice:
    """Something the person should know about the step, e.g. earlier turns left out.

    `kind` names it for translation; `numbers` and `words` fill the sentence; `message` is it in
    English. One about the finished text comes `after` it.
    """

    index: int
    kind: str
    message: str
    numbers: dict[str, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    after: bool = False


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
class Progress:
    """What a step that takes long is at: so many `prompt` tokens are read, or `part`s;
    its `adapter` is being loaded; so many `others` are answered at the same time.

    Attributes:
        seconds_left: until its parts are done; None where that cannot be told.
    """

    index: int
    kind: Literal["prompt", "part", "adapter", "others"]
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Place:
    """Where, in characters, the piece in the making begins: in the content, and in the text."""

    content: int = 0
    text: int = 0


AT_BEGIN = Place()


@dataclass(frozen=True)
class StepFinished:
    """A step's result.

    Attributes:
        text: the whole answer; for `choose` the winning label.
        labels: label -> probability, largest first; empty for `write`.
        tokens: tokens written, or scored for `choose`.
        seconds: wall time; `first_token` is the wait for the first piece.
        stopped: why it ended: `end`, `length`, `loop` (it went round in circles), `until` (a string
            that ends it), `stop` (the person) or `time`.
        fingerprints: base, quantization, adapter, task, decoding that made it.
        prompt_tokens: tokens read before those.
        place: what going on with the text needs, see `Agent.answer`.
        answer_tokens: those of `tokens` that are of the answer, where parts of a text were asked
            about too; None: all of them.
        probability: of a token of the text, their geometric mean; for `choose` that of the label.
            None where the engine does not say.
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
    place: Place = AT_BEGIN
    answer_tokens: int | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Highlighted:
    """How much each piece of the text carried the decision of a `choose` step.

    `pieces` joined give the text back. A weight is the fall of the winning label's probability
    when the piece is left out (negative: the piece spoke against it).
    """

    index: int
    pieces: list[tuple[str, float]]


@dataclass(frozen=True)
class TextPlace:
    """A place in the text that a step worked on, with the passage that it stands in.

    Attributes:
        begin, end: of the place, in characters of the text.
        paragraph: its number, from 1.
        heading: the last one before it; empty where there is none.
        page: its number, where the text has pages.
        before, words, after: the passage: what is before the place, the place, what is behind.
    """

    begin: int
    end: int
    paragraph: int
    heading: str
    page: int | None
    before: str
    words: str
    after: str


@dataclass(frozen=True)
class Source:
    """Where in the text something comes from: a sentence of the answer, or a part's own verdict.

    Attributes:
        begin, end: the sentence, in characters of the answer; both 0 for a verdict.
        place: None where no single place says it.
        label, probability: the verdict's.
    """

    begin: int
    end: int
    place: TextPlace | None
    label: str = ""
    probability: float = 0.0


@dataclass(frozen=True)
class Sources:
    """Comes behind the StepFinished of a step whose text was read in parts: `read` of `parts`."""

    index: int
    read: int
    parts: int
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class BlockTexts:
    """Comes behind the StepFinished of a step that worked on the turn's files, block by block.

    Attributes:
        texts: for each block, in order, what `documents.write` takes in its place; fewer where the
            step was cut short.
        lost: number of a block, from 0, and what of it its text lacks that had to stay.
        sentences: what became of the first sentences of the block that it was cut short in.
    """

    index: int
    texts: tuple[str, ...]
    lost: tuple[tuple[int, str], ...] = ()
    sentences: tuple[str, ...] = ()


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
    | Progress
    | StepFinished
    | Highlighted
    | Sources
    | BlockTexts
    | Finished
    | Failed
)
