"""A fake engine with the real one's interface, for tests and for work on the page."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapter_store.calibration import NOT_CALIBRATED, Calibration
from adapter_store.scope import Scope
from core.errors import InputError, TooLong, UnknownName
from engine.interface import (
    ROWS_TOGETHER,
    Choice,
    ChooseRequest,
    CompletionRequest,
    Delta,
    EngineRequest,
    PrefillProgress,
    Scored,
    ScoreRequest,
    Scores,
    StopReason,
    Token,
    Usage,
    WriteReply,
    WriteRequest,
)
from engine.loop_guard import LoopGuard
from engine.stop_strings import StopStrings
from engine.tool_support import TOO_SMALL
from tasks.spec import Message

FAKE_CHUNK = 1000  # tokens of a prompt that are read at a time


@dataclass
class FakeAdapters:
    """Adapters that exist by name only."""

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def task(self, name: str) -> str:
        """No record says."""
        return ""

    def loaded(self, name: str) -> bool:
        """There is nothing to load."""
        return True

    def names(self) -> list[str]:
        """Ids a request may carry."""
        return sorted(self.fingerprints)

    def fingerprint(self, name: str) -> str:
        """The fingerprint given for the name."""
        if name not in self.fingerprints:
            raise UnknownName("adapter", name, self.fingerprints)
        return self.fingerprints[name]

    def scope(self, name: str) -> Scope:
        """The scope given for the name, or one that covers everything."""
        return self.scopes.get(name, Scope())

    def calibration(self, name: str) -> Calibration:
        """The calibration given for the name, or none."""
        return self.calibrations.get(name, NOT_CALIBRATED)


class FakeEngine:
    """Answers `write` with the last message's words behind the adapter's name, one at a time.

    `choose` favours the label that occurs most often in the last message. A token is a byte, and
    to `score` each is as likely as any other. `calls` keeps every request; `passes` counts the
    tokens that were written, so that a test can see them stop.
    """

    start_token = 256
    rows_together = ROWS_TOGETHER

    def __init__(
        self,
        adapters: Mapping[str, str] | None = None,
        delay: float = 0.0,
        context_tokens: int = 4096,
        scopes: Mapping[str, Scope] | None = None,
        tools_refused: str | None = TOO_SMALL,
    ) -> None:
        self.tools_refused = tools_refused
        self.adapters = FakeAdapters(adapters or {}, scopes or {})
        self.delay = delay
        self.context_tokens = context_tokens
        self.calls: list[EngineRequest] = []
        self.passes = 0

    @property
    def waiting(self) -> int:
        """Nobody waits for the fake."""
        return 0

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Stream the answer a word at a time, `delay` seconds apart."""
        prompt = self._accept(request)
        started = time.perf_counter()
        first = 0.0
        for read in range(FAKE_CHUNK, prompt, FAKE_CHUNK):
            time.sleep(self.delay)
            yield PrefillProgress(read, prompt)
        words = re.findall(r"\s*\S+|\s+$", self._answer(request)) or ["…"]
        stopped: StopReason = "end"
        tokens, stops, guard, guarded = 0, StopStrings(request.until), LoopGuard(), False
        if isinstance(request, WriteRequest):
            stops = StopStrings(request.until, request.list_length, request.begun)
            guarded = request.stop_loops
        for word in words:
            if stop is not None and stop.wait(self.delay):
                stopped = "stop"
                break
            if stop is None:
                time.sleep(self.delay)
            if tokens == request.decoding.max_new_tokens:
                stopped = "length"
                break
            tokens += 1
            self.passes += 1
            first = first or time.perf_counter() - started
            text, scored = stops.feed(word), _scored(word, request.logprobs)
            if text or scored:
                yield Delta(text, scored)
            if stops.matched:
                stopped = "until"
                break
            if guarded and guard.loops(word):
                stopped = "loop"
                break
        if rest := stops.flush():
            yield Delta(rest)
        yield Usage(prompt, tokens, time.perf_counter() - started, first, stopped)

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score labels by how often each occurs in the last message."""
        prompt = self._accept(request)
        if stop is not None and stop.wait(self.delay):
            return Choice({}, Usage(prompt, 0, 0.0, 0.0, "stop"))
        if stop is None:
            time.sleep(self.delay)
        text = request.messages[-1]["content"].lower()
        counts = [1 + 4 * text.count(label.lower()) for label in request.labels]
        logprobs = {
            label: math.log(count / sum(counts))
            for label, count in zip(request.labels, counts, strict=True)
        }
        return Choice(logprobs, Usage(prompt, len(counts), self.delay, self.delay, "end"))

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Give every token the same likelihood."""
        prompt = self._accept(request)
        even = -math.log(257)

        def named(ids: tuple[int, ...]) -> tuple[Token, ...]:
            likeliest = tuple((chr(i), even) for i in range(request.logprobs or 0))
            return tuple(Token(self.text([i]), even, likeliest) for i in ids)

        scored = tuple(
            Scored(
                (even,) * len(ids),
                (False,) * len(ids),
                () if request.logprobs is None else named(ids),
            )
            for ids in request.continuations
        )
        tokens = prompt + sum(map(len, request.continuations))
        return Scores(scored, Usage(prompt, tokens, self.delay, self.delay, "end"))

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """One token a byte."""
        return list(text.encode())

    def text(self, ids: Sequence[int]) -> str:
        """One byte a token; the token before all of them has no text."""
        if any(not 0 <= i <= self.start_token for i in ids):
            raise InputError(f"{max(ids)} is no token of this base, which has 257.")
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """One token a word, one a Chinese character."""
        return sum(len(re.findall(r"[一-鿿]|[^\s一-鿿]+", m["content"])) for m in messages)

    def fingerprints(self) -> dict[str, str]:
        """Says that it is the fake."""
        return {"base": "fake", "quantization": "none"}

    def close(self) -> None:
        """Nothing to free."""

    def _accept(self, request: EngineRequest) -> int:
        self.calls.append(request)
        if request.adapter is not None:
            self.adapters.fingerprint(request.adapter)
        prompt = self._length(request)
        if prompt >= self.context_tokens:
            raise TooLong(
                f"The text is {prompt} tokens long and the model reads {self.context_tokens}."
            )
        return prompt

    def _length(self, request: EngineRequest) -> int:
        if isinstance(request, ScoreRequest | CompletionRequest):
            return len(request.prompt)
        return self.count_tokens(request.messages)

    def _answer(self, request: WriteRequest | CompletionRequest) -> str:
        speaker = request.adapter or "base"
        if isinstance(request, CompletionRequest):
            text = bytes(i for i in request.prompt if i < 256).decode(errors="replace")
        else:
            text = request.messages[-1]["content"]
            return f"[{speaker}] {text}"[len(request.begun) :]
        return f"[{speaker}] {text}"


def _scored(word: str, count: int | None) -> tuple[Token, ...]:
    """The word as a token among others as likely, where log-likelihoods were asked for."""
    if count is None:
        return ()
    even = -math.log(count + 1)
    return (Token(word, even, tuple((word, even) for _ in range(count))),)
