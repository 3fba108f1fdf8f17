"""What the engine's worker runs: one generator a request, one forward pass a step.

A generator that wants a single token read yields it, and is sent the logits: the worker reads the
tokens of several requests together. Longer readings it does itself, and yields None after each.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from engine.base_model import Base
from engine.interface import Choice, Delta, Scored, Scores, StopReason, Token, Usage
from engine.kv_cache import Next, Reading
from engine.lora import LoraWeights
from engine.prefix_cache import Kept
from engine.sampling import Sampler
from engine.stop_strings import Until
from tasks.spec import Decoding

PREFILL_TOKENS = 256  # a long prompt is read in parts, so that others' answers go on meanwhile
Steps = Generator[Next | None, Tensor | None, None]
LABEL_ROWS = 16  # labels scored in one forward pass


@dataclass
class Job:
    """A request on its way.

    Attributes:
        prompt: token ids.
        weights: the adapter, held for the request's whole life.
        stop: set by the person; `closed` is set when nobody listens any more.
        deadline: `time.perf_counter()` after which the answer ends.
        out: what the caller receives: Delta, Usage, Choice, Scores, or the exception that ended it.
    """

    prompt: list[int]
    weights: LoraWeights | None
    stop: threading.Event
    deadline: float
    closed: threading.Event = field(default_factory=threading.Event)
    out: SimpleQueue[Delta | Usage | Choice | Scores | BaseException] = field(
        default_factory=SimpleQueue
    )
    started: float = field(default_factory=time.perf_counter)

    def ended(self) -> StopReason | None:
        """Why the job must end now, if it must."""
        if self.stop.is_set() or self.closed.is_set():
            return "stop"
        return "time" if time.perf_counter() > self.deadline else None

    def usage(self, tokens: int, first: float, stopped: StopReason) -> Usage:
        """The cost so far."""
        seconds = time.perf_counter() - self.started
        return Usage(len(self.prompt), tokens, seconds, first or seconds, stopped)


@dataclass
class WriteJob(Job):
    """Generate up to `decoding.max_new_tokens` tokens, and no more than `room`."""

    decoding: Decoding = field(default_factory=Decoding)
    until: tuple[str, ...] = ()
    logprobs: int | None = None
    room: int = sys.maxsize

    def run(self, base: Base, kept: Kept) -> Steps:
        """Text goes to `out` as it is made."""
        sampler = Sampler(self.decoding, self.prompt)
        stream, until = _Text(base), Until(self.until)
        most = min(self.decoding.max_new_tokens, self.room)
        scored: list[Token] = []  # whose text has not been put out
        memory, known = kept.take(self.prompt, self.weights)
        said: list[int] = []
        tokens, first = 0, 0.0
        stopped: StopReason | None = None
        logits = yield from _read(base, self, self.prompt[known:], memory)
        while logits is not None and stopped is None:
            token = sampler.pick(logits)
            tokens += 1
            first = first or time.perf_counter() - self.started
            if token in base.end_tokens:
                stopped = "end"
            else:
                if self.logprobs is not None:
                    scored.append(_token(base, logits, token, self.logprobs))
                if text := until.add(stream.step(token)):
                    self.out.put(Delta(text, tuple(scored)))
                    scored = []
                if until.found:
                    stopped = "until"
            if stopped is None and tokens >= most:
                stopped = "length"
            if stopped is None and (stopped := self.ended()) is None:
                logits = yield Next(token, memory, self.weights)
                said.append(token)
        if (rest := until.rest()) or scored:
            self.out.put(Delta(rest, tuple(scored)))
        if logits is not None:
            kept.keep([*self.prompt, *said], self.weights, memory)
        self.out.put(self.usage(tokens, first, stopped or self.ended() or "stop"))


@dataclass
class ChooseJob(Job):
    """Score each label, given as token ids that end with the end-of-turn token."""

    labels: dict[str, list[int]] = field(default_factory=dict)

    def run(self, base: Base, kept: Kept) -> Steps:
        """Read the prompt once, the first labels in the same pass as its end."""
        memory, names = base.memory(), list(self.labels)
        cut = (len(self.prompt) - 1) // PREFILL_TOKENS * PREFILL_TOKENS
        trunk, head = self.prompt[cut:], None
        if cut:
            yield from _read(base, self, self.prompt[:cut], memory)
            yield None
        scores: dict[str, float] = {}
        while len(scores) < len(names) and not self.ended():
            batch = names[len(scores) : len(scores) + LABEL_ROWS]
            rows = [self.labels[name] for name in batch]
            after = base.branches([row[:-1] for row in rows], memory, self.weights, trunk)
            if trunk:
                head, trunk = torch.log_softmax(after.pop(0)[-1].float(), -1), []
            assert head is not None
            scores.update(zip(batch, _score(head, rows, after), strict=True))
            yield None
        stopped = self.ended() if len(scores) < len(names) else "end"
        scored = len(self.prompt) + sum(len(row) for row in self.labels.values())
        self.out.put(Choice(scores, self.usage(scored, 0.0, stopped or "stop")))


@dataclass
class ScoreJob(Job):
    """Score each token of each continuation, given as token ids."""

    continuations: list[list[int]] = field(default_factory=list)

    def run(self, base: Base, kept: Kept) -> Steps:
        """Read the prompt once, then the continuations one by one on top of it."""
        memory = base.memory()
        head = yield from _read(base, self, self.prompt, memory)
        made: list[Scored] = []
        while head is not None and len(made) < len(self.continuations):
            ids = self.continuations[len(made)]
            scored = yield from _continued(base, self, head, ids, memory)
            if scored is None:
                break
            made.append(scored)
        stopped = self.ended() if len(made) < len(self.continuations) else "end"
        tokens = len(self.prompt) + sum(len(one.logprobs) for one in made)
        self.out.put(Scores(tuple(made), self.usage(tokens, 0.0, stopped or "stop")))


class _Text:
    """Token ids to text, held back until characters are whole."""

    def __init__(self, base: Base) -> None:
        self._tokenizer = base.tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def step(self, token: int) -> str:
        try:
            return self._stream.step(self._tokenizer, token) or ""
        except Exception:  # noqa: BLE001  the library raises bare Exception on impossible bytes
            self._stream = DecodeStream(skip_special_tokens=True)
            return ""


def _token(base: Base, logits: Tensor, token: int, count: int) -> Token:
    """A token and the likeliest ones with their log-likelihoods; logits: (vocabulary,)."""
    chances = torch.log_softmax(logits.float(), -1)
    top = chances.topk(count)
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    likeliest = tuple((base.tokenizer.decode([i]), value) for i, value in pairs)
    return Token(base.tokenizer.decode([token]), float(chances[token]), likeliest)


def _read(
    base: Base, job: Job, ids: list[int], memory: Reading
) -> Generator[None, Tensor | None, Tensor | None]:
    """Feed ids through the base on top of the memory, yielding between parts.

    Returns:
        (vocabulary,) float32 logits after the last id, or None when the job had to end.
    """
    logits = None
    for start in range(0, len(ids), PREFILL_TOKENS):
        if job.ended():
            return None
        logits = base.read(ids[start : start + PREFILL_TOKENS], memory, job.weights)[-1]
        if start + PREFILL_TOKENS < len(ids):
            yield None
    return logits


def _score(head: Tensor, rows: list[list[int]], after: list[Tensor]) -> list[float]:
    """Log-likelihood of each row of label ids.

    Args:
        head: (vocabulary,) log-probabilities of their first tokens.
        after: of each row, (length - 1, vocabulary) logits after each token but the last.
    """
    scores = [float(head[row[0]]) for row in rows]
    for i, (row, logits) in enumerate(zip(rows, after, strict=True)):
        wanted = torch.tensor(row[1:], device=logits.device)
        chances = torch.log_softmax(logits.float(), -1).gather(-1, wanted[:, None])
        scores[i] += float(chances.sum())
    return scores


def _continued(
    base: Base, job: Job, head: Tensor, ids: list[int], memory: Reading
) -> Generator[None, Tensor | None, Scored | None]:
    """Score ids after the prompt in memory, yielding after each part. The memory stays as it was.

    Args:
        head: (vocabulary,) logits after the prompt.

    Returns:
        None when the job had to end.
    """
    logprobs: list[float] = []
    greedy: list[bool] = []
    logits = head[None]  # before each token of a part
    for start in range(0, len(ids), PREFILL_TOKENS):
        if job.ended():
            return None
        part = ids[start : start + PREFILL_TOKENS]
        read = part if start + PREFILL_TOKENS < len(ids) else part[:-1]
        if read:
            logits = torch.cat([logits, base.read(read, memory, job.weights, keep=len(read))])
        chances = torch.log_softmax(logits[: len(part)].float(), -1)
        wanted = torch.tensor(part, device=chances.device)
        logprobs += chances.gather(-1, wanted[:, None])[:, 0].tolist()
        greedy += (chances.argmax(-1) == wanted).tolist()
        logits = logits[len(part) :]
        yield None
    base.rewind(memory, len(ids) - 1)
    return Scored(tuple(logprobs), tuple(greedy))
