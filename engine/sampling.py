"""Pick the next token: greedy, or temperature and nucleus, with a repetition penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.spec import Decoding

MOST = 1024  # likeliest tokens that are sorted; the nucleus is nearly always among them
Floats = NDArray[np.float32]


class Sampler:
    """Draws one request's tokens. The same decoding and logits give the same tokens."""

    def __init__(self, decoding: Decoding, prompt: list[int]) -> None:
        self._decoding = decoding
        self._seen = np.array(sorted(set(prompt)), dtype=np.int64)
        self._random = np.random.default_rng(decoding.seed)

    def pick(self, logits: Tensor) -> int:
        """The next token id.

        Args:
            logits: (vocabulary,), any floating dtype and device.
        """
        values: Floats = logits.float().cpu().numpy()
        if self._decoding.repetition_penalty != 1.0:
            values = self._penalized(values)
        token = int(values.argmax()) if self._decoding.temperature == 0 else self._draw(values)
        self._seen = np.union1d(self._seen, [token])
        return token

    def _penalized(self, values: Floats) -> Floats:
        """Make seen tokens less likely (Keskar et al. 2019, arXiv 1909.05858)."""
        penalty = self._decoding.repetition_penalty
        values = values.copy()
        seen = values[self._seen]
        values[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        return values

    def _draw(self, values: Floats) -> int:
        """Sample from the smallest set with mass top_p (Holtzman et al. 2020, arXiv 1904.09751)."""
        chances = np.exp((values - values.max()) / self._decoding.temperature)
        chances /= chances.sum()
        for most in (MOST, len(chances)):
            order = _likeliest(chances, most)
            mass = chances[order].cumsum()
            if mass[-1] >= self._decoding.top_p:
                break
        count = int((mass - chances[order] < self._decoding.top_p).sum())
        at = int(np.searchsorted(mass, self._random.random() * mass[count - 1], side="right"))
        return int(order[min(at, count - 1)])


def _likeliest(chances: Floats, most: int) -> NDArray[np.int64]:
    """Ids of the `most` likeliest tokens, the likeliest first."""
    if most >= len(chances):
        return np.argsort(-chances, kind="stable")
    some = np.argpartition(-chances, most)[:most]
    return some[np.argsort(-chances[some], kind="stable")]
