"""The KV cache of one request, in arrays that grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Generic, TypeVar

import torch
from torch import Tensor

from engine.lora import LoraAdapter

INITIAL_POSITIONS = 128  # there is room for at the start; doubled as needed
CacheT = TypeVar("CacheT")


class KVCache:
    """Keys and values of the tokens that one request has read.

    Attributes:
        keys: (layers, key heads, positions, head width) float32; `values` alike.
        length: positions that are filled.
    """

    def __init__(self, layers: int, key_heads: int, head_width: int) -> None:
        self.keys = _zeros(layers, key_heads, INITIAL_POSITIONS, head_width)
        self.values = _zeros(layers, key_heads, INITIAL_POSITIONS, head_width)
        self.length = 0

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return 2 * self.keys.numel() * self.keys.element_size()

    def reserve(self, count: int) -> None:
        """Have room for `count` further positions."""
        needed, capacity = self.length + count, self.keys.shape[2]
        if needed <= capacity:
            return
        while capacity < needed:
            capacity *= 2
        self.keys, self.values = (self._resized(old, capacity) for old in (self.keys, self.values))

    def beginning(self, length: int, into: KVCache | None = None) -> KVCache:
        """A copy of the first positions, for another request to go on from.

        Args:
            into: one that nobody uses any more, of the same shape but for its positions; its memory
                is taken.
        """
        layers, key_heads, _, head_width = self.keys.shape
        copy = into or KVCache(layers, key_heads, head_width)
        copy.length = 0
        copy.reserve(length)
        # Not by torch, which wakes all cores for so much.
        for new, old in ((copy.keys, self.keys), (copy.values, self.values)):
            new.numpy()[:, :, :length] = old.numpy()[:, :, :length]
        copy.length = length
        return copy

    def _resized(self, old: Tensor, capacity: int) -> Tensor:
        layers, key_heads, _, head_width = old.shape
        new = _zeros(layers, key_heads, capacity, head_width)
        new[:, :, : self.length] = old[:, :, : self.length]
        return new


def _zeros(*shape: int) -> Tensor:
    """Float32 in pages of its own, which go back to the system with it.

    From the C library they would come among the scratch of every thread, and stay: 50 visitors took
    0.4 GB more.
    """
    return torch.frombuffer(mmap(-1, 4 * math.prod(shape)), dtype=torch.float32).view(shape)


@dataclass(frozen=True)
class DecodeInput(Generic[CacheT]):
    """A request's next token, to be read on top of its KV cache.

    Attributes:
        adapter: None for the bare base.
        guesses: at the tokens after it, that are read, too.
    """

    token: int
    cache: CacheT
    adapter: LoraAdapter | None
    guesses: Sequence[int] = ()


@dataclass(frozen=True)
class ScoreInput(Generic[CacheT]):
    """A request's prompt, or the rest of it, and texts that may follow, to be scored apart.

    Attributes:
        prompt: token ids, at least one, to be read on top of the KV cache, which grows by them.
        continuations: token ids; the last of each is scored and not read. The cache stays without.
    """

    prompt: Sequence[int]
    continuations: Sequence[Sequence[int]]
    cache: CacheT
    adapter: LoraAdapter | None

    @property
    def tokens(self) -> int:
        """How many are read."""
        return len(self.prompt) + sum(len(ids) - 1 for ids in self.continuations)
