"""Keys and values of one request, in arrays that grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from mmap import mmap

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
        self.keys = _empty(layers, heads, FIRST, width)
        self.values = _empty(layers, heads, FIRST, width)
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
        grown = _empty(layers, heads, size, width)
        grown[:, :, : self.length] = kept[:, :, : self.length]
        return grown


def _empty(*shape: int) -> Tensor:
    """Float32 in pages of its own, which go back to the system with it.

    From the C library they would come among the scratch of every thread, and stay: 50 visitors took
    0.4 GB more.
    """
    return torch.frombuffer(mmap(-1, 4 * math.prod(shape)), dtype=torch.float32).view(shape)


Reading = Cache | Memory  # what a request has read: transformers' own, or that of a direct base


@dataclass(frozen=True)
class Next:
    """A token to be read on top of a memory, with an adapter or None."""

    token: int
    memory: Reading
    weights: LoraWeights | None
