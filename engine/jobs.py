"""What the engine's worker runs: one generator a request, one forward pass a step."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor
from transformers import DynamicCache

from engine.base_model import Base
from engine.interface import Choice, Delta, Scored, Scores, StopReason, Usage
from engine.lora import LoraWeights
from engine.sampling import Sampler
from tasks.spec import Decoding

PREFILL_TOKENS = 256  # a long prompt is read in parts, so that others' answers go on meanwhile
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
    """Generate up to `decoding.max_new_tokens` tokens."""

    decoding: Decoding = field(default_factory=Decoding)

    def run(self, base: Base) -> Iterator[None]:
        """Yield after every forward pass; text goes to `out` as it is made."""
        sampler = Sampler(self.decoding, self.prompt)
        stream = _Text(base)
        cache = DynamicCache(config=base.model.config)
        ids, tokens, first = self.prompt, 0, 0.0
        stopped: StopReason | None = None
        while stopped is None:
            logits = yield from _read(base, self, ids, cache)
            if logits is None:
                break
            token = sampler.pick(logits)
            tokens += 1
            first = first or time.perf_counter() - self.started
            if token in base.end_tokens:
                stopped = "end"
            elif text := stream.step(token):
                self.out.put(Delta(text))
            ids = [token]
            if stopped is None and tokens >= self.decoding.max_new_tokens:
                stopped = "length"
            yield
        self.out.put(self.usage(tokens, first, stopped or self.ended() or "stop"))


@dataclass
class ChooseJob(Job):
    """Score each label, given as token ids that end with the end-of-turn token."""

    labels: dict[str, list[int]] = field(default_factory=dict)

    def run(self, base: Base) -> Iterator[None]:
        """Read the prompt once, then the labels in batches on top of it."""
        cache = DynamicCache(config=base.model.config)
        head = yield from _read(base, self, self.prompt, cache)
        scores: dict[str, float] = {}
        names = list(self.labels)
        while head is not None and len(scores) < len(names) and not self.ended():
            batch = names[len(scores) : len(scores) + LABEL_ROWS]
            rows = [self.labels[name] for name in batch]
            scores.update(zip(batch, _score(base, self, head, rows, cache), strict=True))
            yield
        stopped = self.ended() if len(scores) < len(names) else "end"
        scored = len(self.prompt) + sum(len(row) for row in self.labels.values())
        self.out.put(Choice(scores, self.usage(scored, 0.0, stopped or "stop")))


@dataclass
class ScoreJob(Job):
    """Score each token of each continuation, given as token ids."""

    continuations: list[list[int]] = field(default_factory=list)

    def run(self, base: Base) -> Iterator[None]:
        """Read the prompt once, then the continuations one by one on top of it."""
        cache = DynamicCache(config=base.model.config)
        head = yield from _read(base, self, self.prompt, cache)
        made: list[Scored] = []
        while head is not None and len(made) < len(self.continuations):
            ids = self.continuations[len(made)]
            scored = yield from _continued(base, self, head, ids, cache)
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


def _read(
    base: Base, job: Job, ids: list[int], cache: DynamicCache
) -> Generator[None, None, Tensor | None]:
    """Feed ids through the base on top of the cache, yielding between parts.

    Returns:
        (vocabulary,) float32 logits after the last id, or None when the job had to end.
    """
    logits = None
    for start in range(0, len(ids), PREFILL_TOKENS):
        if job.ended():
            return None
        part = torch.tensor([ids[start : start + PREFILL_TOKENS]], device=base.device)
        logits = base.forward(part, cache, job.weights, keep=1)[0, -1]
        if start + PREFILL_TOKENS < len(ids):
            yield
    return logits


def _score(
    base: Base, job: Job, head: Tensor, rows: list[list[int]], cache: DynamicCache
) -> list[float]:
    """Log-likelihood of each row of label ids after the prompt in the cache."""
    first = torch.log_softmax(head.float(), -1)
    scores = [float(first[row[0]]) for row in rows]
    width = max(len(row) for row in rows) - 1
    if width == 0:
        return scores
    # Pads stand to the right of what is read, so causal attention never looks at them.
    padded = [(row[:-1] + row[-1:] * width)[:width] for row in rows]
    cache.batch_repeat_interleave(len(rows))
    ids = torch.tensor(padded, device=base.device)
    logits = torch.log_softmax(base.forward(ids, cache, job.weights, keep=width).float(), -1)
    cache.crop(-width)
    cache.batch_select_indices(torch.tensor([0], device=base.device))
    for i, row in enumerate(rows):
        scores[i] += sum(float(logits[i, j, token]) for j, token in enumerate(row[1:]))
    return scores


def _continued(
    base: Base, job: Job, head: Tensor, ids: list[int], cache: DynamicCache
) -> Generator[None, None, Scored | None]:
    """Score ids after the prompt in the cache, yielding after each part. The cache stays.

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
            given = torch.tensor([read], device=base.device)
            after = base.forward(given, cache, job.weights, keep=len(read))[0]
            logits = torch.cat([logits, after])
        chances = torch.log_softmax(logits[: len(part)].float(), -1)
        wanted = torch.tensor(part, device=chances.device)
        logprobs += chances.gather(-1, wanted[:, None])[:, 0].tolist()
        greedy += (chances.argmax(-1) == wanted).tolist()
        logits = logits[len(part) :]
        yield
    if len(ids) > 1:
        cache.crop(1 - len(ids))
    return Scored(tuple(logprobs), tuple(greedy))
