"""Pick the next token: greedy, or temperature and nucleus, with penalties for repetition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.spec import Decoding

# DRY ("don't repeat yourself") sampling, by p-e-w, 2024, github.com/oobabooga/text-generation-webui
# pull request 5677, as llama.cpp has it: nothing is said against a repetition of so few tokens, and
# each token more makes the penalty so many times larger.
DRY_ALLOWED_LENGTH, DRY_BASE = 4, 1.75
DRY_MAX_LENGTH = 50  # longer ones are penalized alike
SORTED_TOKENS = 1024  # likeliest ones that are sorted; the nucleus is nearly always among them
Float32Array = NDArray[np.float32]


class Sampler:
    """Draws one request's tokens. The same decoding and logits give the same tokens."""

    def __init__(self, decoding: Decoding, prompt: list[int]) -> None:
        self._decoding = decoding
        self._seen = np.array(sorted(set(prompt)), dtype=np.int64)
        self._answer: list[int] = []
        self._random = np.random.default_rng(decoding.seed)

    def pick(self, logits: Tensor) -> int:
        """The next token id.

        Args:
            logits: (vocabulary,), any floating dtype and device.
        """
        values: Float32Array = logits.float().cpu().numpy()
        if self._decoding.repetition_penalty != 1.0:
            values = self._penalized(values)
        if self._decoding.dry_multiplier:
            values = self._without_loops(values)
        token = int(values.argmax()) if self._decoding.temperature == 0 else self._sample(values)
        self._seen = np.union1d(self._seen, [token])
        self._answer.append(token)
        return token

    def _penalized(self, logits: Float32Array) -> Float32Array:
        """Make seen tokens less likely (Keskar et al. 2019, arXiv 1909.05858)."""
        penalty = self._decoding.repetition_penalty
        logits = logits.copy()
        seen = logits[self._seen]
        logits[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        return logits

    def _without_loops(self, logits: Float32Array) -> Float32Array:
        """Make tokens less likely that followed before on what the answer ends with now."""
        repetitions = _repetitions(self._answer)
        logits = logits.copy() if repetitions else logits
        for token, length in repetitions.items():
            penalty = DRY_BASE ** (length - DRY_ALLOWED_LENGTH)
            logits[token] -= self._decoding.dry_multiplier * penalty
        return logits

    def _sample(self, logits: Float32Array) -> int:
        """Sample from the smallest set with mass top_p (Holtzman et al. 2020, arXiv 1904.09751)."""
        probabilities = np.exp((logits - logits.max()) / self._decoding.temperature)
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


def _repetitions(answer: list[int]) -> dict[int, int]:
    """Token -> how many tokens stood before it that the answer ends with now."""
    lengths: dict[int, int] = {}
    last = len(answer) - 1
    for at in range(last):
        if answer[at] != answer[last]:
            continue
        length = 1
        while length <= min(at, DRY_MAX_LENGTH) and answer[at - length] == answer[last - length]:
            length += 1
        if length >= DRY_ALLOWED_LENGTH:
            token = answer[at + 1]
            lengths[token] = max(length, lengths.get(token, 0))
    return lengths


def _likeliest(probabilities: Float32Array, count: int) -> NDArray[np.int64]:
    """Ids of the `count` likeliest tokens, the likeliest first."""
    if count >= len(probabilities):
        return np.argsort(-probabilities, kind="stable")
    top = np.argpartition(-probabilities, count)[:count]
    return top[np.argsort(-probabilities[top], kind="stable")]
