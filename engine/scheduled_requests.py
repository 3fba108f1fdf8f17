"""What each kind of request computes: a generator that makes one forward pass a step.

A generator that wants a token read, or texts scored, yields them and is sent the logits or the
scores, or None once the request has to end: the scheduler reads those of several requests together.
Where it yields None it is about to read for itself. It reads nothing before it has yielded.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, cast

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from engine.base_model import Base
from engine.constraints import Constraint
from engine.interface import (
    Choice,
    Delta,
    EngineReply,
    PrefillProgress,
    Scored,
    Scores,
    StopReason,
    Token,
    Usage,
)
from engine.kv_cache import DecodeInput, ScoreInput
from engine.loop_guard import LoopGuard
from engine.lora import LoraAdapter
from engine.prefix_cache import PrefixCache
from engine.read_ahead import ReadAhead
from engine.sampling import MeanLogprob, Sampler
from engine.stop_strings import StopStrings
from tasks.spec import Decoding

PREFILL_CHUNK = 256  # tokens of a long prompt in one pass, so that others' answers go on meanwhile
LABELS_PER_PASS = 16
SCORED_LOGITS = 2**24  # in memory at one time, for one request: 64 MB, and again for their softmax
Wanted = DecodeInput[Any] | ScoreInput[Any] | None
ForwardPasses = Generator[Wanted, list[Tensor] | list[float] | None, None]


@dataclass
class ScheduledRequest(ABC):
    """A request that waits or runs.

    Attributes:
        prompt: token ids.
        adapter: held for the request's whole life.
        stop: set by the person; `closed` is set when nobody listens any more.
        deadline: `time.perf_counter()` after which the answer ends.
        out: what the caller receives, or the exception that ended it.
        batch: the table that it is a row of, if any: it stands behind all that is none.
    """

    prompt: list[int]
    adapter: LoraAdapter | None
    stop: threading.Event
    deadline: float
    closed: threading.Event = field(default_factory=threading.Event)
    out: SimpleQueue[EngineReply | BaseException] = field(default_factory=SimpleQueue)
    started: float = field(default_factory=time.perf_counter)
    batch: str = ""

    @abstractmethod
    def run(self, base: Base, prefixes: PrefixCache) -> ForwardPasses:
        """The request's passes; what comes of them goes to `out`."""

    def report(self, left: int) -> None:  # noqa: B027  only who writes says how far it is
        """So many tokens of the prompt are still to be read."""

    def ended(self) -> StopReason | None:
        """Why the request must end now, if it must."""
        if self.stop.is_set() or self.closed.is_set():
            return "stop"
        return "time" if time.perf_counter() > self.deadline else None

    def usage(
        self, tokens: int, first_token: float, stopped: StopReason, logprob: float | None = None
    ) -> Usage:
        """The cost so far."""
        seconds = time.perf_counter() - self.started
        return Usage(len(self.prompt), tokens, seconds, first_token or seconds, stopped, logprob)


@dataclass
class ScheduledWrite(ScheduledRequest):
    """Generate up to `decoding.max_new_tokens` tokens, and no more than `room`.

    Attributes:
        begun: tokens of the prompt's end that are the answer's beginning.
        constraint: of this answer alone.
        stops: end the answer where its text says so.
        guard: ends the answer where it goes round in circles.
    """

    decoding: Decoding = field(default_factory=Decoding)
    stops: StopStrings = field(default_factory=lambda: StopStrings(()))
    logprobs: int | None = None
    constraint: Constraint | None = None
    room: int = sys.maxsize
    begun: int = 0
    guard: LoopGuard | None = None

    def report(self, left: int) -> None:
        """Say how far the prompt is read."""
        self.out.put(PrefillProgress(len(self.prompt) - left, len(self.prompt)))

    def run(self, base: Base, prefixes: PrefixCache) -> ForwardPasses:
        """Text goes to `out` as it is made."""
        begun = self.prompt[len(self.prompt) - self.begun :]
        sampler = Sampler(self.decoding, self.prompt, self.constraint, begun)
        detokenizer, stops = _Detokenizer(base, begun), self.stops
        max_tokens = min(self.decoding.max_new_tokens, self.room)
        unsent: list[Token] = []  # whose text has not been put out
        yield None
        cache, cached = self._begin(base, prefixes)
        generated: list[int] = []  # and read
        tokens, first_token, likelihood = 0, 0.0, MeanLogprob()
        stopped: StopReason | None = None
        guesses = 0 if self.batch else base.model.max_guesses  # many rows leave no room for any
        ahead = ReadAhead(base.model, cache, self.adapter, self.prompt, guesses)
        logits = yield from _prefill(base, self, self.prompt[cached:], cache)
        ahead.logits = [] if logits is None else [logits]
        while ahead.logits and stopped is None:
            logits = ahead.logits.pop(0)
            token = sampler.pick(logits)
            tokens += 1
            first_token = first_token or time.perf_counter() - self.started
            if token in base.end_tokens:
                stopped = "end"
            else:
                likelihood.add(logits, token)
                if self.logprobs is not None:
                    distribution = torch.log_softmax(logits.float(), -1)
                    unsent.append(_token(base, distribution, token, self.logprobs))
                if text := stops.feed(detokenizer.step(token)):
                    self.out.put(Delta(text, tuple(unsent)))
                    unsent = []
                stopped = self._ended_by(stops, text)
            if stopped is None and tokens >= max_tokens:
                stopped = "length"
            if stopped is None and (stopped := self.ended()) is None:
                if wanted := ahead.wanted(token, max_tokens - tokens - 1):
                    read = yield wanted
                    if not isinstance(read, list):
                        stopped = self.ended()
                        break
                    ahead.take(wanted, cast(list[Tensor], read))
                generated.append(token)
        ahead.drop()
        if (rest := stops.flush()) or unsent:
            self.out.put(Delta(rest, tuple(unsent)))
        if logits is not None:
            self._keep(generated, cache, prefixes)
        ended = stopped or self.ended() or "stop"
        self.out.put(self.usage(tokens, first_token, ended, likelihood.value))

    def _begin(self, base: Base, prefixes: PrefixCache) -> tuple[Any, int]:
        """The KV cache to go on from, and how many tokens of the prompt it holds."""
        if self.batch:
            known = prefixes.take_beginning(self.batch, self.prompt, self.adapter)
        else:
            known = prefixes.take(self.prompt, self.adapter)
        return known or (base.model.new_cache(), 0)

    def _ended_by(self, stops: StopStrings, text: str) -> StopReason | None:
        """Why the answer ends with this piece of text, if it does."""
        if stops.matched:
            return "until"
        if self.guard is not None and self.guard.loops(text):
            return "loop"
        return "end" if self.constraint is not None and self.constraint.finished else None

    def _keep(self, generated: list[int], cache: Any, prefixes: PrefixCache) -> None:
        """Keep what was read for the next row of the table, or the next turn."""
        if self.batch:
            prefixes.put_beginning(self.batch, self.prompt, self.adapter, cache)
        else:
            prefixes.put([*self.prompt, *generated], self.adapter, cache)


@dataclass
class ScheduledChoice(ScheduledRequest):
    """Score each label, given as token ids that end with the end-of-turn token."""

    labels: dict[str, list[int]] = field(default_factory=dict)

    def run(self, base: Base, prefixes: PrefixCache) -> ForwardPasses:
        """Read the prompt once, the first labels in the same pass as its end."""
        known = prefixes.take_beginning(self.batch, self.prompt, self.adapter)
        cache, read = known or (base.model.new_cache(), 0)
        while len(self.prompt) - read > PREFILL_CHUNK and not self.ended():
            yield ScoreInput(self.prompt[read : read + PREFILL_CHUNK], (), cache, self.adapter)
            read += PREFILL_CHUNK
        names, scores = list(self.labels), dict[str, float]()
        rest = self.prompt[read:]
        while len(scores) < len(names) and not self.ended():
            some = names[len(scores) : len(scores) + LABELS_PER_PASS]
            labels = [self.labels[name] for name in some]
            found = yield ScoreInput(rest, labels, cache, self.adapter)
            if not isinstance(found, list):
                break
            scores.update(zip(some, cast(list[float], found), strict=True))
            if len(scores) < len(names):  # the next labels follow the last token, read once more
                base.model.truncate(cache, 1)
                rest = self.prompt[-1:]
        stopped = self.ended() if len(scores) < len(names) else "end"
        if self.batch and stopped == "end":
            prefixes.put_beginning(self.batch, self.prompt, self.adapter, cache)
        tokens = len(self.prompt) + sum(len(label) for label in self.labels.values())
        self.out.put(Choice(scores, self.usage(tokens, 0.0, stopped or "stop")))


@dataclass
class ScheduledScore(ScheduledRequest):
    """Score each token of each continuation, given as token ids."""

    continuations: list[list[int]] = field(default_factory=list)
    logprobs: int | None = None

    def run(self, base: Base, prefixes: PrefixCache) -> ForwardPasses:
        """Read the prompt once, then the continuations one by one on top of it."""
        yield None
        cache = base.model.new_cache()
        head = yield from _prefill(base, self, self.prompt, cache)
        done: list[Scored] = []
        while head is not None and len(done) < len(self.continuations):
            ids = self.continuations[len(done)]
            scored = yield from _score_continuation(base, self, head, ids, cache)
            if scored is None:
                break
            done.append(scored)
        stopped = self.ended() if len(done) < len(self.continuations) else "end"
        tokens = len(self.prompt) + sum(len(one.logprobs) for one in done)
        self.out.put(Scores(tuple(done), self.usage(tokens, 0.0, stopped or "stop")))


class _Detokenizer:
    """Token ids to text, held back until characters are whole."""

    def __init__(self, base: Base, begun: list[int]) -> None:
        """`begun` are tokens whose text is there already."""
        self._tokenizer = base.template.tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        for token in begun:
            self.step(token)

    def step(self, token: int) -> str:
        try:
            return self._stream.step(self._tokenizer, token) or ""
        except Exception:  # noqa: BLE001  the library raises bare Exception on impossible bytes
            self._stream = DecodeStream(skip_special_tokens=True)
            return ""


def _token(base: Base, logprobs: Tensor, token: int, count: int) -> Token:
    """A token and the likeliest ones in its place; logprobs: (vocabulary,) log-likelihoods."""
    top = logprobs.topk(count)
    decode = base.template.tokenizer.decode
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return Token(
        decode([token]), float(logprobs[token]), tuple((decode([i]), value) for i, value in pairs)
    )


def _prefill(
    base: Base, request: ScheduledRequest, ids: list[int], cache: Any
) -> Generator[None, object, Tensor | None]:
    """Read ids on top of the KV cache, yielding between chunks.

    Returns:
        (vocabulary,) logits after the last id, or None when the request had to end.
    """
    logits = None
    for start in range(0, len(ids), PREFILL_CHUNK):
        if request.ended():
            return None
        chunk = ids[start : start + PREFILL_CHUNK]
        logits = base.model.prefill(chunk, cache, request.adapter)[-1]
        if start + PREFILL_CHUNK < len(ids):
            request.report(len(ids) - start - PREFILL_CHUNK)
            yield None
    return logits


def _score_continuation(
    base: Base, request: ScheduledScore, head: Tensor, ids: list[int], cache: Any
) -> Generator[None, object, Scored | None]:
    """Score ids after a prompt, yielding after each chunk. The KV cache stays the prompt's.

    Args:
        head: (vocabulary,) logits after the prompt.

    Returns:
        None when the request had to end.
    """
    logprobs: list[float] = []
    greedy: list[bool] = []
    tokens: list[Token] = []
    logits = head[None]  # before each token of a chunk
    size = max(1, min(PREFILL_CHUNK, SCORED_LOGITS // len(head)))
    for start in range(0, len(ids), size):
        if request.ended():
            return None
        chunk = ids[start : start + size]
        read = chunk if start + size < len(ids) else chunk[:-1]
        if read:
            after = base.model.prefill(read, cache, request.adapter, keep=len(read))
            logits = torch.cat([logits, after])
        distribution = torch.log_softmax(logits[: len(chunk)].float(), -1)
        targets = torch.tensor(chunk, device=distribution.device)
        logprobs += distribution.gather(-1, targets[:, None])[:, 0].tolist()
        greedy += (distribution.argmax(-1) == targets).tolist()
        if request.logprobs is not None:
            pairs = zip(distribution, chunk, strict=True)
            tokens += [_token(base, row, token, request.logprobs) for row, token in pairs]
        logits = logits[len(chunk) :]
        yield None
    base.model.truncate(cache, len(ids) - 1)
    return Scored(tuple(logprobs), tuple(greedy), tuple(tokens))
