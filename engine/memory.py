"""Keys and values of one request, in arrays that grow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Cache

from engine.lora import LoraWeights

FIRST = 128  # positions there is room for at the start; doubled as needed


class Memory:
    """What one request has read.

    Attributes:
        keys: (layers, key heads, positions, head width) float32; `values` alike.
        length: positions that are filled.
    """

    def __init__(self, layers: int, heads: int, width: int) -> None:
        self.keys = torch.empty(layers, heads, FIRST, width)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return 2 * self.keys.numel() * self.keys.element_size()

    def make_room(self, count: int) -> None:
        """Have room for `count` further positions."""
        needed, size = self.length + count, self.keys.shape[2]
        if needed <= size:
            return
        while size < needed:
            size *= 2
        self.keys, self.values = (self._grown(kept, size) for kept in (self.keys, self.values))

    def _grown(self, kept: Tensor, size: int) -> Tensor:
        layers, heads, _, width = kept.shape
        grown = torch.empty(layers, heads, size, width)
        grown[:, :, : self.length] = kept[:, :, : self.length]
        return grown


Reading = Cache | Memory  # what a request has read: transformers' own, or that of a direct base


@dataclass(frozen=True)
class Next:
    """A token to be read on top of a memory, with an adapter or None."""

    token: int
    memory: Reading
    weights: LoraWeights | None
