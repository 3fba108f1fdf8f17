"""Pick the next token: greedy, or temperature and nucleus, with penalties for repetition, among
those that a constraint allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.constraints import Constraint
from tasks.spec import Decoding

# DRY ("don't repeat yourself") sampling, by p-e-w, 2024, github.com/oobabooga/text-generation-webui
# pull request 5677, as llama.cpp has it: each token more than the allowed length makes the penalty
# so many times larger.
DRY_BASE = 1.75
DRY_MAX_LENGTH = 50  # longer ones are penalized alike
ALL_ASKED, ASKED_EVERY = 32, 4  # tokens whose likelihood is taken: all at first, then some
SORTED_TOKENS = 1024  # likeliest ones that are sorted; the nucleus is nearly always among them
Float32Array = NDArray[np.float32]


class Sampler:
    """Draws one request's tokens. The same decoding and logits give the same tokens."""

    def __init__(
        self,
        decoding: Decoding,
        prompt: list[int],
        constraint: Constraint | None = None,
        begun: Sequence[int] = (),
    ) -> None:
        """`begun` are tokens of the prompt's end that were drawn for this answer before."""
        self._decoding = decoding
        self._constraint = constraint
        self._seen = np.array(sorted(set(prompt)), dtype=np.int64)
        self._answer: list[int] = list(begun)
        self._counts: Counter[int] = Counter(begun)  # of the answer's tokens
        self._random = np.random.default_rng(decoding.seed)
        self._random.random(len(begun) if decoding.temperature else 0)
        if constraint is not None:
            for token in begun:
                constraint.advance(token)

    def pick(self, logits: Tensor) -> int:
        """The next token id.

        Args:
            logits: (vocabulary,), any floating dtype and device.
        """
        values: Float32Array = logits.float().cpu().numpy()
        if self._decoding.repetition_penalty != 1.0:
            values = self._penalized(values)
        if self._decoding.frequency_penalty or self._decoding.presence_penalty:
            values = self._less_of_the_answer(values)
        if self._decoding.dry_multiplier:
            values = self._without_loops(values)
        if self._constraint is not None:
            allowed = self._constraint.allowed(len(values))
            values = np.where(allowed, values, np.float32(-np.inf))
        token = int(values.argmax()) if self._decoding.temperature == 0 else self._sample(values)
        self._seen = np.union1d(self._seen, [token])
        self._answer.append(token)
        self._counts[token] += 1
        if self._constraint is not None:
            self._constraint.advance(token)
        return token

    def _penalized(self, logits: Float32Array) -> Float32Array:
        """Make seen tokens less likely (Keskar et al. 2019, arXiv 1909.05858)."""
        penalty = self._decoding.repetition_penalty
        logits = logits.copy()
        seen = logits[self._seen]
        logits[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        return logits

    def _less_of_the_answer(self, logits: Float32Array) -> Float32Array:
        """Make the answer's own tokens less likely, as OpenAI's API defines its two penalties."""
        logits = logits.copy()
        if self._counts:
            times = np.array(list(self._counts.values()), dtype=np.float32)
            per_time, once = self._decoding.frequency_penalty, self._decoding.presence_penalty
            logits[list(self._counts)] -= per_time * times + once
        return logits

    def _without_loops(self, logits: Float32Array) -> Float32Array:
        """Make tokens less likely that followed before on what the answer ends with now."""
        allowed = self._decoding.dry_allowed_length
        repetitions = _repetitions(self._answer, allowed)
        logits = logits.copy() if repetitions else logits
        for token, length in repetitions.items():
            penalty = DRY_BASE ** (length - allowed)
            logits[token] -= self._decoding.dry_multiplier * penalty
        return logits

    def _sample(self, logits: Float32Array) -> int:
        """Sample from the smallest set with mass top_p (Holtzman et al. 2020, arXiv 1904.09751), of
        the top_k likeliest that are min_p times as likely as the likeliest (Nguyen et al. 2024,
        arXiv 2407.01082).
        """
        probabilities = np.exp((logits - logits.max()) / self._decoding.temperature)
        most = self._decoding.top_k or len(probabilities)
        if self._decoding.min_p:  # the likeliest has 1 here
            most = min(most, int((probabilities >= self._decoding.min_p).sum()))
        if most < len(probabilities):
            kept = _likeliest(probabilities, most)
            weights, probabilities = probabilities[kept], np.zeros_like(probabilities)
            probabilities[kept] = weights
        probabilities /= probabilities.sum()
        for count in (SORTED_TOKENS, len(probabilities)):
            order = _likeliest(probabilities, count)
            mass = probabilities[order].cumsum()
            if mass[-1] >= self._decoding.top_p:
                break
        nucleus = int((mass - probabilities[order] < self._decoding.top_p).sum())
        drawn = self._random.random() * mass[nucleus - 1]
        at = int(np.searchsorted(mass, drawn, side="right"))
        return int(order[min(at, nucleus - 1)])


class MeanLogprob:
    """The mean log-likelihood of an answer's tokens: the first 32, then every fourth.

    A softmax over 262,144 tokens takes 0.2 ms, so not all of them are asked.
    """

    def __init__(self) -> None:
        self._sum, self._asked, self._seen = 0.0, 0, 0

    def add(self, logits: Tensor, token: int) -> None:
        """Take in a token. logits: (vocabulary,), as they stood before it."""
        self._seen += 1
        if self._seen > ALL_ASKED and self._seen % ASKED_EVERY:
            return
        values: Float32Array = logits.float().cpu().numpy()
        top = values.max()
        self._sum += float(values[token] - top - np.log(np.exp(values - top).sum()))
        self._asked += 1

    @property
    def value(self) -> float | None:
        """In nats a token; None where no token was written."""
        return self._sum / self._asked if self._asked else None


def _repetitions(answer: list[int], allowed: int) -> dict[int, int]:
    """Token -> how many tokens stood before it that the answer ends with now: `allowed` or more."""
    lengths: dict[int, int] = {}
    last = len(answer) - 1
    for at in range(last):
        if answer[at] != answer[last]:
            continue
        length = 1
        while length <= min(at, DRY_MAX_LENGTH) and answer[at - length] == answer[last - length]:
            length += 1
        if length >= allowed:
            token = answer[at + 1]
            lengths[token] = max(length, lengths.get(token, 0))
    return lengths


def _likeliest(probabilities: Float32Array, count: int) -> NDArray[np.int64]:
    """Ids of the `count` likeliest tokens, the likeliest first."""
    if count >= len(probabilities):
        return np.argsort(-probabilities, kind="stable")
    top = np.argpartition(-probabilities, count)[:count]
    return top[np.argsort(-probabilities[top], kind="stable")]
