"""A token of each of several requests in one forward pass of a transformers base.

Each request keeps its own positions and its own adapter. The adapters' factors stand side by side
in one pair of matrices a layer, and each request is let through its own only: a batch with many
adapters costs what a batch with one does, but for the wider matrices. Punica (Chen et al. 2023,
arXiv 2310.18547) gathers them in a kernel of its own instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.kv_cache import DecodeInput
from engine.lora import ActiveAdapter, LoraAdapter

SPARE_POSITIONS = 64  # that a batch has beyond its longest request; then it is copied


def unsupported(model: Any) -> str | None:
    """Why requests must be read one by one; None when they need not."""
    config = model.config
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, not sdpa"
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return "not every layer attends to the whole text"
    return None


class _BatchedLayer(DynamicLayer):
    """Keys and values of one layer, a row a request; new ones go to each request's own end."""

    keys: Tensor
    values: Tensor

    def __init__(self, layers: Sequence[Any], positions: int, ends: Tensor) -> None:
        super().__init__()
        self._rows, self._ends = torch.arange(len(layers), device=ends.device), ends
        self.keys = self._stacked([layer.keys for layer in layers], positions)
        self.values = self._stacked([layer.values for layer in layers], positions)
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """key_states, value_states: (requests, heads, 1, width)."""
        self.keys[self._rows, :, self._ends] = key_states[:, :, 0]
        self.values[self._rows, :, self._ends] = value_states[:, :, 0]
        return self.keys, self.values

    @staticmethod
    def _stacked(parts: Sequence[Tensor], positions: int) -> Tensor:
        _, heads, _, width = parts[0].shape
        # Zeros, because what is masked is read too.
        stacked = parts[0].new_zeros(len(parts), heads, positions, width)
        for row, part in zip(stacked, parts, strict=True):
            row[:, : part.shape[2]] = part[0]
        return stacked


class BatchedDecode:
    """The batch that is being read, kept from one token to the next while its requests stay."""

    def __init__(self, model: Any, active: ActiveAdapter) -> None:
        self._model, self._active = model, active
        self._caches: list[Any] = []
        self._adapters: list[LoraAdapter | None] = []
        self._combined: LoraAdapter | None = None
        self._lengths: list[int] = []
        self._layers: list[Any] = []
        self._ends = torch.empty(0)
        self._positions = 0

    def decode(self, inputs: Sequence[DecodeInput[Cache]]) -> Tensor:
        """Read one token of each request on top of its KV cache, which grows.

        Returns:
            (requests, vocabulary) logits of the next ones.
        """
        caches: list[Any] = [one.cache for one in inputs]
        if not _same(caches, self._caches) or max(self._lengths) >= self._positions:
            self.unbatch()
            self._batch(caches)
        adapters = [one.adapter for one in inputs]
        if not _same(adapters, self._adapters):
            self._adapters, self._combined = adapters, combined(adapters)
        device = self._ends.device
        self._ends.copy_(torch.tensor(self._lengths))
        visible = torch.arange(self._positions, device=device) <= self._ends[:, None]
        with self._active.using(self._combined):
            out = self._model(
                torch.tensor([[one.token] for one in inputs], device=device),
                position_ids=self._ends[:, None],
                attention_mask=visible[:, None, None],
                past_key_values=Cache(layers=self._layers),
                use_cache=True,
            )
        self._lengths = [length + 1 for length in self._lengths]
        logits: Tensor = out.logits[:, -1]
        return logits

    def unbatch(self) -> None:
        """Give every request its own KV cache back: a view of what the batch has read of it."""
        for row, (cache, length) in enumerate(zip(self._caches, self._lengths, strict=True)):
            for own, shared in zip(cache.layers, self._layers, strict=True):
                own.keys = shared.keys[row : row + 1, :, :length]
                own.values = shared.values[row : row + 1, :, :length]
        self._caches, self._lengths = [], []

    def _batch(self, caches: Sequence[Any]) -> None:
        self._caches = list(caches)
        self._lengths = [cache.get_seq_length() for cache in caches]
        self._positions = max(self._lengths) + SPARE_POSITIONS
        self._ends = torch.tensor(self._lengths, device=caches[0].layers[0].keys.device)
        layers = zip(*(cache.layers for cache in caches), strict=True)
        self._layers = [_BatchedLayer(own, self._positions, self._ends) for own in layers]


def combined(adapters: Sequence[LoraAdapter | None]) -> LoraAdapter | None:
    """The adapters of a batch as one; None where every request goes through the bare base.

    Args:
        adapters: of each request, its factors by layer, (rank, in) and (out, rank).

    Returns:
        of each layer (ranks, in) and (out, ranks), and which ranks are whose: (requests, 1, ranks).
    """
    distinct = list(dict.fromkeys(adapter for adapter in adapters if adapter))
    weights: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    masks: dict[tuple[tuple[int, int], ...], Tensor] = {}
    for name in dict.fromkeys(name for adapter in distinct for name in adapter.weights):
        factors = [(i, *one.weights[name]) for i, one in enumerate(distinct) if name in one.weights]
        ranks = tuple((i, len(a)) for i, a, _ in factors)
        a = torch.cat([a for _, a, _ in factors])
        if ranks not in masks:
            owners = torch.tensor([i for i, rank in ranks for _ in range(rank)])
            own = [distinct.index(one) if one else -1 for one in adapters]
            mask = torch.tensor(own)[:, None, None] == owners
            masks[ranks] = mask.to(a.device, a.dtype)
        weights[name] = a, torch.cat([b for _, _, b in factors], 1), masks[ranks]
    return LoraAdapter(weights, "") if weights else None


def _same(some: Sequence[object], others: Sequence[object]) -> bool:
    """Whether both hold the same objects in the same order."""
    return len(some) == len(others) and all(map(_is, some, others))


def _is(one: object, other: object) -> bool:
    return one is other
