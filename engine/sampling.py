"""Pick the next token: greedy, or temperature and nucleus, with a repetition penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.spec import Decoding


class Sampler:
    """Draws one request's tokens. The same decoding and logits give the same tokens."""

    def __init__(self, decoding: Decoding, prompt: list[int]) -> None:
        self._decoding = decoding
        self._seen = set(prompt)
        self._random = torch.Generator().manual_seed(decoding.seed)

    def pick(self, logits: Tensor) -> int:
        """The next token id.

        Args:
            logits: (vocabulary,), any floating dtype and device.
        """
        logits = logits.float().cpu()
        if self._decoding.repetition_penalty != 1.0:
            logits = self._penalized(logits)
        token = int(logits.argmax()) if self._decoding.temperature == 0 else self._draw(logits)
        self._seen.add(token)
        return token

    def _penalized(self, logits: Tensor) -> Tensor:
        """Make seen tokens less likely (Keskar et al. 2019, arXiv 1909.05858)."""
        seen = torch.tensor(sorted(self._seen))
        values = logits[seen]
        penalty = self._decoding.repetition_penalty
        logits = logits.clone()
        logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
        return logits

    def _draw(self, logits: Tensor) -> int:
        """Sample from the smallest set with mass top_p (Holtzman et al. 2020, arXiv 1904.09751)."""
        chances = torch.softmax(logits / self._decoding.temperature, -1)
        ordered, order = chances.sort(descending=True)
        before = ordered.cumsum(-1) - ordered
        ordered[before >= self._decoding.top_p] = 0
        return int(order[torch.multinomial(ordered, 1, generator=self._random)])
