"""Keys and values of one request, in one array that transformers and the compiled pass both fill."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

FIRST = 256  # positions there is room for at the start; doubled as needed


class Memory(Cache):
    """A transformers cache of a single row.

    Attributes:
        keys: (layers, key heads, positions, head width) float32; `values` alike.
        length: positions that are filled. Whoever runs a pass adds to it afterwards.
    """

    def __init__(self, layers: int, heads: int, width: int) -> None:
        super().__init__(layers=[_Layer(self, index) for index in range(layers)])
        self.keys = torch.empty(layers, heads, FIRST, width)
        self.values = torch.empty_like(self.keys)
        self.length = 0

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


class _Layer(DynamicLayer):
    """One layer of a Memory. A batch of rows, as when labels are scored, gets copies of its own."""

    def __init__(self, memory: Memory, index: int) -> None:
        super().__init__()
        self._memory, self._index = memory, index
        self._copied = False

    def get_seq_length(self) -> int:
        return super().get_seq_length() if self._copied else self._memory.length

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self._copied:
            return super().update(key_states, value_states)
        memory, count = self._memory, key_states.shape[2]
        memory.make_room(count)
        begin, end = memory.length, memory.length + count
        memory.keys[self._index, :, begin:end] = key_states[0]
        memory.values[self._index, :, begin:end] = value_states[0]
        return self._view(memory.keys, end), self._view(memory.values, end)

    def batch_repeat_interleave(self, repeats: int) -> None:
        if not self._copied:
            memory = self._memory
            self.keys = self._view(memory.keys, memory.length)
            self.values = self._view(memory.values, memory.length)
            self.dtype, self.device = self.keys.dtype, self.keys.device
            self.is_initialized = self._copied = True
        super().batch_repeat_interleave(repeats)

    def _view(self, kept: Tensor, end: int) -> Tensor:
        return kept[self._index : self._index + 1, :, :end]
