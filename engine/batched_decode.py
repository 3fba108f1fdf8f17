"""A token of each of several texts in one forward pass of a transformers base.

Each text keeps its own positions and its own adapter. The adapters' factors stand side by side in
one pair of matrices a layer, and each text is let through its own only: a batch with many adapters
costs what a batch with one does, but for the wider matrices. Punica (Chen et al. 2023, arXiv
2310.18547) gathers them in a kernel of its own instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from engine.kv_cache import Next
from engine.lora import LoraWeights, Switch

ROOM = 64  # positions that a batch has room for beyond its longest text; then it is copied


def unsupported(model: Any) -> str | None:
    """Why texts must be read one by one; None when they need not."""
    config = model.config
    if config._attn_implementation != "sdpa":
        return f"its attention is {config._attn_implementation}, not sdpa"
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return "not every layer attends to the whole text"
    return None


class _Layer(DynamicLayer):
    """Keys and values of one layer, a row a text; new ones go to each text's own end."""

    keys: Tensor
    values: Tensor

    def __init__(self, parts: Sequence[Any], room: int, ends: Tensor) -> None:
        super().__init__()
        self._rows, self._ends = torch.arange(len(parts), device=ends.device), ends
        self.keys = self._side_by_side([part.keys for part in parts], room)
        self.values = self._side_by_side([part.values for part in parts], room)
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """key_states, value_states: (texts, heads, 1, width)."""
        self.keys[self._rows, :, self._ends] = key_states[:, :, 0]
        self.values[self._rows, :, self._ends] = value_states[:, :, 0]
        return self.keys, self.values

    @staticmethod
    def _side_by_side(parts: Sequence[Tensor], room: int) -> Tensor:
        _, heads, _, width = parts[0].shape
        made = parts[0].new_zeros(len(parts), heads, room, width)  # what is masked is read too
        for row, part in zip(made, parts, strict=True):
            row[:, : part.shape[2]] = part[0]
        return made


class Together:
    """The batch that is being read, kept from one token to the next while its texts stay."""

    def __init__(self, model: Any, switch: Switch) -> None:
        self._model, self._switch = model, switch
        self._texts: list[Any] = []
        self._adapters: list[LoraWeights | None] = []
        self._beside: LoraWeights | None = None
        self._lengths: list[int] = []
        self._layers: list[Any] = []
        self._ends = torch.empty(0)
        self._room = 0

    def step(self, texts: Sequence[Next]) -> Tensor:
        """Read one token of each text on top of its memory, which grows.

        Returns:
            (texts, vocabulary) logits of the next ones.
        """
        memories: list[Any] = [text.memory for text in texts]
        same = len(memories) == len(self._texts) and all(map(_is, memories, self._texts))
        if not same or max(self._lengths) >= self._room:
            self.part()
            self._join(memories)
        adapters = [text.weights for text in texts]
        if not (len(adapters) == len(self._adapters) and all(map(_is, adapters, self._adapters))):
            self._adapters, self._beside = adapters, side_by_side(adapters)
        device = self._ends.device
        self._ends.copy_(torch.tensor(self._lengths))
        seen = torch.arange(self._room, device=device) <= self._ends[:, None]
        with self._switch.to(self._beside):
            out = self._model(
                torch.tensor([[text.token] for text in texts], device=device),
                position_ids=self._ends[:, None],
                attention_mask=seen[:, None, None],
                past_key_values=Cache(layers=self._layers),
                use_cache=True,
            )
        self._lengths = [length + 1 for length in self._lengths]
        logits: Tensor = out.logits[:, -1]
        return logits

    def part(self) -> None:
        """Give every text its own memory back: a view of what the batch has read of it."""
        for row, (memory, length) in enumerate(zip(self._texts, self._lengths, strict=True)):
            for own, shared in zip(memory.layers, self._layers, strict=True):
                own.keys = shared.keys[row : row + 1, :, :length]
                own.values = shared.values[row : row + 1, :, :length]
        self._texts, self._lengths = [], []

    def _join(self, memories: Sequence[Any]) -> None:
        self._texts = list(memories)
        self._lengths = [memory.get_seq_length() for memory in memories]
        self._room = max(self._lengths) + ROOM
        self._ends = torch.tensor(self._lengths, device=memories[0].layers[0].keys.device)
        layers = zip(*(memory.layers for memory in memories), strict=True)
        self._layers = [_Layer(parts, self._room, self._ends) for parts in layers]


def side_by_side(adapters: Sequence[LoraWeights | None]) -> LoraWeights | None:
    """The adapters of a batch as one; None where every text goes through the bare base.

    Args:
        adapters: of each text, its factors by layer, (rank, in) and (out, rank).

    Returns:
        of each layer (ranks, in) and (out, ranks), and which ranks are whose: (texts, 1, ranks).
    """
    apart = list(dict.fromkeys(adapter for adapter in adapters if adapter))
    layers: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    masks: dict[tuple[tuple[int, int], ...], Tensor] = {}
    for name in dict.fromkeys(name for adapter in apart for name in adapter.layers):
        pairs = [(i, *one.layers[name]) for i, one in enumerate(apart) if name in one.layers]
        ranks = tuple((i, len(down)) for i, down, _ in pairs)
        down = torch.cat([down for _, down, _ in pairs])
        if ranks not in masks:
            owners = torch.tensor([i for i, rank in ranks for _ in range(rank)])
            whose = [apart.index(one) if one else -1 for one in adapters]
            own = torch.tensor(whose)[:, None, None] == owners
            masks[ranks] = own.to(down.device, down.dtype)
        layers[name] = down, torch.cat([up for _, _, up in pairs], 1), masks[ranks]
    return LoraWeights(layers, "") if layers else None


def _is(one: object, other: object) -> bool:
    return one is other
