"""Requests in, text and scores out, each with its own adapter; stop means stop."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Iterator, Sequence

from core.errors import InputError, TooLong
from engine.adapters import AdapterLibrary
from engine.base_model import Base
from engine.constraints import Constraint
from engine.interface import (
    ROWS_TOGETHER,
    Choice,
    ChooseRequest,
    CompletionRequest,
    EngineReply,
    ScoreRequest,
    Scores,
    Usage,
    WriteReply,
    WriteRequest,
)
from engine.loop_guard import LoopGuard
from engine.lora import LoraAdapter
from engine.scheduled_requests import (
    ScheduledChoice,
    ScheduledRequest,
    ScheduledScore,
    ScheduledWrite,
)
from engine.scheduler import Scheduler
from engine.stop_strings import StopStrings
from engine.tool_calls import CallForm, grammar_of, read_calls
from tasks.spec import Message

LEAST_ANSWER = 16  # tokens of room that an answer must have, however long it may get


class LocalEngine:
    """What an engine says whose base is in its own process."""

    rows_together = ROWS_TOGETHER

    def __init__(self, base: Base, adapters: AdapterLibrary) -> None:
        self.adapters = adapters
        self.context_tokens = base.context_tokens
        self.start_token = base.template.start_token
        self.tools_refused = base.tools_refused
        self._base = base

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """Text as token ids as it stands."""
        return self._base.template.text_ids(text, begin)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as text."""
        return self._base.template.text(ids)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Length of the messages as a prompt, in tokens."""
        return len(self._base.template.prompt_ids(messages))

    def fingerprints(self) -> dict[str, str]:
        """The base, its revision and quantization."""
        return dict(self._base.fingerprints)

    def _prompt(self, request: WriteRequest | CompletionRequest) -> list[int]:
        if isinstance(request, CompletionRequest):
            return list(request.prompt)
        template = self._base.template
        prompt = template.prompt_ids(request.messages, request.tools)
        return prompt + template.begun_ids(request.begun)

    def _form(self, request: WriteRequest | CompletionRequest) -> CallForm | None:
        """How the answer says a call, where it may call tools.

        Raises:
            InputError: the base is not offered any.
        """
        if not isinstance(request, WriteRequest) or request.tools is None:
            return None
        if self.tools_refused:
            raise InputError(f"{self.tools_refused} Leave the tools out.")
        return self._base.template.call_form

    def _constraint(self, request: WriteRequest | CompletionRequest) -> Constraint | None:
        """What the answer is held to, if to anything.

        Raises:
            InputError: the grammar, or the schema of a tool, is wrong or not supported.
        """
        grammar = request.grammar
        if isinstance(request, WriteRequest) and request.tools and (form := self._form(request)):
            grammar = grammar_of(request.tools, form, grammar)
        return self._base.constraints.of(grammar) if grammar else None


class TorchEngine(LocalEngine):
    """The engine in this process. See `engine.interface.ScoringEngine`."""

    def __init__(
        self,
        base: Base,
        adapters: AdapterLibrary,
        max_running: int = 8,
        max_waiting: int = 64,
        time_limit: float = 300.0,
    ) -> None:
        """`time_limit` is in seconds, for one request."""
        super().__init__(base, adapters)
        self._time_limit = time_limit
        self._scheduler = Scheduler(base, max_running, max_waiting)
        # As many as run, and as many that come next or are written down.
        self.rows_together = max(ROWS_TOGETHER, 2 * self._scheduler.max_rows)
        atexit.register(self.close)  # torch aborts when its thread is torn down mid-pass

    @property
    def passes(self) -> int:
        """Forward passes since the start."""
        return self._scheduler.passes

    @property
    def waiting(self) -> int:
        """Requests that wait for others to end."""
        return self._scheduler.waiting

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Yield text as it is made, then one Usage."""
        prompt = self._prompt(request)
        form = self._form(request)
        until = () if form else request.until
        begun, guard, stops = list[int](), None, StopStrings(until)
        if isinstance(request, WriteRequest):
            begun = self._base.template.begun_ids(request.begun)
            guard = LoopGuard() if request.stop_loops else None
            stops = StopStrings(until, request.list_length, request.begun)
        require_room(self.context_tokens, len(prompt), request.decoding.max_new_tokens)
        batch = "" if isinstance(request, CompletionRequest) else request.batch
        scheduled = ScheduledWrite(
            prompt,
            self._adapter(request.adapter),
            stop or threading.Event(),
            self._deadline(batch),
            batch=batch,
            decoding=request.decoding,
            stops=stops,
            logprobs=request.logprobs,
            constraint=self._constraint(request),
            room=self.context_tokens - len(prompt),
            begun=len(begun),
            guard=guard,
        )
        self._scheduler.submit(scheduled)
        items = _written(scheduled)
        try:
            if form:
                items = read_calls(items, form, request.until, scheduled.closed.set)
            yield from items
        finally:
            scheduled.closed.set()

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels by likelihood."""
        labels = {label: self._label(label) for label in request.labels}
        if not labels:
            raise InputError("There are no labels to choose from. Name at least two.")
        prompt = self._base.template.prompt_ids(request.messages)
        require_room(self.context_tokens, len(prompt), max(len(ids) for ids in labels.values()))
        scheduled = ScheduledChoice(
            prompt,
            self._adapter(request.adapter),
            stop or threading.Event(),
            self._deadline(request.batch),
            batch=request.batch,
            labels=labels,
        )
        self._scheduler.submit(scheduled)
        choice = _next(scheduled)
        assert isinstance(choice, Choice)
        return choice

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score continuations of a prompt, token by token."""
        if not request.prompt or not request.continuations or not all(request.continuations):
            raise InputError("There is nothing to score: the prompt or a continuation is empty.")
        longest = max(len(ids) for ids in request.continuations)
        # The last token is scored and not read.
        require_room(self.context_tokens, len(request.prompt), longest - 1, whole=True)
        scheduled = ScheduledScore(
            list(request.prompt),
            self._adapter(request.adapter),
            stop or threading.Event(),
            self._deadline(),
            continuations=[list(ids) for ids in request.continuations],
            logprobs=request.logprobs,
        )
        self._scheduler.submit(scheduled)
        scores = _next(scheduled)
        assert isinstance(scores, Scores)
        return scores

    def forget(self) -> None:
        """Empty the prefix cache: the next turns are read from the start."""
        self._scheduler.prefixes.clear()

    def close(self) -> None:
        """End every request and wait for the worker."""
        self._scheduler.close()
        atexit.unregister(self.close)

    def _adapter(self, name: str | None) -> LoraAdapter | None:
        return self.adapters.get(name) if name else None

    def _label(self, label: str) -> list[int]:
        return [*self._base.template.text_ids(label), self._base.template.end_token]

    def _deadline(self, batch: str = "") -> float:
        """A row of a table waits for others as long as it takes."""
        return math.inf if batch else time.perf_counter() + self._time_limit


def require_room(context: int, prompt: int, answer: int, whole: bool = False) -> None:
    """See that a prompt fits beside an answer: the whole one, or its beginning. All in tokens.

    Raises:
        TooLong: it does not.
    """
    room = answer if whole else min(answer, LEAST_ANSWER)
    if prompt + room > context:
        raise TooLong(
            f"The request is {prompt:,} tokens long; this model reads {context - room:,}. "
            "Shorten it, or send it in parts."
        )


def _written(request: ScheduledWrite) -> Iterator[WriteReply]:
    """What comes of it, to its Usage."""
    while True:
        item = _next(request)
        assert isinstance(item, WriteReply)
        yield item
        if isinstance(item, Usage):
            return


def _next(request: ScheduledRequest) -> EngineReply:
    item = request.out.get()
    if isinstance(item, BaseException):
        raise item
    return item
