"""What an engine takes and gives, shared by the real one and the fake one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from adapter_store.calibration import Calibration
from adapter_store.scope import Scope
from tasks.spec import Decoding, Message, ToolCall

StopReason = Literal["end", "length", "loop", "until", "stop", "time"]


@dataclass(frozen=True)
class Grammar:
    """What a text must be, whole: JSON by a schema, a match of a regular expression, or a sentence
    of a Lark grammar as llguidance has them.
    """

    kind: Literal["json_schema", "regex", "lark"]
    text: str


@dataclass(frozen=True)
class Tools:
    """Functions that an answer may call.

    Attributes:
        definitions: in OpenAI's shape, `{"type": "function", "function": {...}}`.
        required: the answer calls one or more, and says nothing else.
        only: the name of the one that it calls; None leaves it the choice.
        parallel: whether it may call several; None leaves that to the base.
    """

    definitions: tuple[dict[str, Any], ...]
    required: bool = False
    only: str | None = None
    parallel: bool | None = None


@dataclass(frozen=True)
class WriteRequest:
    """Generate text after the messages. `adapter` None is the bare base.

    The text ends before any of the stop strings in `until`. With `logprobs` each token comes with
    its log-likelihood, and with that many of the likeliest ones. With a `grammar` no token is
    written that it does not allow. With `tools` the answer may call them; the grammar, a JSON
    schema then, and the stop strings are its text's. `begun` is the beginning of the answer, which
    it goes on from as if it had written that itself. With `stop_loops` it ends where it goes round
    in circles. A list of `list_length` items ends it, too, unless that is 0. A row of a table names
    it in `batch`: such requests stand behind all others, have no time limit, and read what their
    prompts begin with once for all rows.
    """

    messages: tuple[Message, ...]
    adapter: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    until: tuple[str, ...] = ()
    logprobs: int | None = None
    grammar: Grammar | None = None
    begun: str = ""
    stop_loops: bool = False
    list_length: int = 0
    batch: str = ""
    tools: Tools | None = None


@dataclass(frozen=True)
class CompletionRequest:
    """Generate text after token ids as they stand, without a chat template; else a WriteRequest."""

    prompt: tuple[int, ...]
    adapter: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    until: tuple[str, ...] = ()
    logprobs: int | None = None
    grammar: Grammar | None = None


@dataclass(frozen=True)
class ChooseRequest:
    """Score each label as the whole answer to the messages. `batch` as in a WriteRequest."""

    messages: tuple[Message, ...]
    labels: tuple[str, ...]
    adapter: str | None = None
    batch: str = ""


@dataclass(frozen=True)
class ScoreRequest:
    """Score each continuation of a prompt, all token ids as they stand: no chat template, no end.

    Nothing may be empty. A text that nothing stands before goes on from
    `ScoringEngine.start_token`. With `logprobs` each token comes as a `Token`, with that many of
    the likeliest ones.
    """

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    adapter: str | None = None
    logprobs: int | None = None


@dataclass(frozen=True)
class Usage:
    """What a request cost: counts in tokens, times in seconds since it was handed in.

    Attributes:
        logprob: mean natural log-likelihood of the written tokens, before temperature and
            penalties; None where that is not known.
    """

    prompt_tokens: int
    tokens: int
    seconds: float
    first_token: float
    stopped: StopReason
    logprob: float | None = None


@dataclass(frozen=True)
class Token:
    """A token that was written: its text, its natural log-likelihood under the model as it stands
    (before temperature and penalties), and the likeliest tokens in its place, likeliest first."""

    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Delta:
    """A piece of text, whole characters only, and calls of tools behind it. `tokens` where the
    request asked for `logprobs`.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class PrefillProgress:
    """So many tokens of a prompt have been read; comes for prompts of several passes alone."""

    read: int
    prompt_tokens: int


@dataclass(frozen=True)
class Choice:
    """Natural log-likelihood of each label as the complete answer, and the cost."""

    logprobs: dict[str, float]
    usage: Usage


@dataclass(frozen=True)
class Scored:
    """A continuation's tokens: natural log-likelihood of each, and whether each was the likeliest.

    Shorter than the continuation where the request was ended before. `tokens` where the request
    asked for `logprobs`.
    """

    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...]
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Scores:
    """The continuations of a request in its order, and the cost."""

    continuations: tuple[Scored, ...]
    usage: Usage


EngineRequest = WriteRequest | CompletionRequest | ChooseRequest | ScoreRequest
WriteReply = Delta | PrefillProgress | Usage
EngineReply = WriteReply | Choice | Scores


class Adapters(Protocol):
    """The adapters an engine can attach."""

    def names(self) -> list[str]:
        """Ids that a request may carry."""
        ...

    def fingerprint(self, name: str) -> str:
        """Hash of the adapter's weights and config.

        Raises:
            UnknownName: no adapter has that id.
        """
        ...

    def scope(self, name: str) -> Scope:
        """What the adapter's record says it was trained for. Raises as `fingerprint`."""
        ...

    def task(self, name: str) -> str:
        """Name of the task that its record says it was trained for; empty where none does. Raises
        as `fingerprint`.
        """
        ...

    def calibration(self, name: str) -> Calibration:
        """What label scores are shifted by and divided by. Raises as `fingerprint`."""
        ...

    def loaded(self, name: str) -> bool:
        """Whether it is in memory; True where another process knows. Raises as `fingerprint`."""
        ...


ROWS_TOGETHER = 16  # where nothing is known of how many an engine reads together


class Engine(Protocol):
    """Runs the base, here or elsewhere. Safe to call from many threads at once.

    Attributes:
        context_tokens: prompt plus answer at most.
        tools_refused: why requests may not offer tools, nor have messages of them: a sentence.
            None: they may.
        rows_together: rows of a table that it is given at one time.
    """

    context_tokens: int
    tools_refused: str | None
    rows_together: int

    @property
    def passes(self) -> int:
        """Forward passes since the start; it stands still when nothing is computed."""
        ...

    @property
    def waiting(self) -> int:
        """Requests that wait for others to end."""
        ...

    @property
    def adapters(self) -> Adapters:
        """What requests may carry."""
        ...

    def write(
        self, request: WriteRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Yield how far the prompt is read, text as it is made, then one Usage.

        Setting `stop`, or closing the iterator, ends the computation within a token or two.

        Raises:
            TooLong: prompt plus room for an answer exceeds the context.
            InputError: no answer can be held to the grammar.
            UnknownName, AdapterError: the adapter is not there or was refused.
            EngineBusy: too many requests wait.
        """
        ...

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels. Raises as `write`."""
        ...

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Length of the messages as a prompt, in tokens."""
        ...

    def fingerprints(self) -> dict[str, str]:
        """What answers: base, revision, quantization."""
        ...

    def close(self) -> None:
        """End every request and free the model."""
        ...


class ScoringEngine(Engine, Protocol):
    """An engine that takes token ids and says how likely each is: what evaluation asks of a base.

    A server that speaks OpenAI's chat protocol takes only messages, so it is none.

    Attributes:
        start_token: the id that a text goes on from which nothing stands before.
    """

    start_token: int

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """As `Engine.write`, also after token ids."""
        ...

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score the continuations, the prompt being read once. Raises as `write`."""
        ...

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """Text as token ids as it stands; names of special tokens are these tokens.

        `begin` puts in front what the base's tokenizer puts before a text, if anything.
        """
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as text, special tokens by their names.

        Raises:
            InputError: one of them is no token of the base.
        """
        ...
