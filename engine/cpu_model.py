"""A packed base on the CPU: prompts and tokens through `kernels`, without transformers' layers.

The tokens of a prompt are shared out to the cores, which wait for each other once a layer, because
a token attends to all before it. The next token of an answer is one core's work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import kernels
from engine.kernels import LANES, TOGETHER, Floats, Patch
from engine.kv_cache import Memory, Next
from engine.lora import LoraWeights, Pairs
from engine.packed import GROUPS, Packed, smallest, spans

Whole = NDArray[np.int64]
Part = TypeVar("Part")


class Direct:
    """A base's weights and the cores that read with them.

    Attributes:
        cores: how many may read one prompt; fewer where other requests are read beside it.
    """

    def __init__(self, packed: Packed) -> None:
        """Compile, or read what was compiled before."""
        self._packed, self._weights, self.facts = packed, packed.weights, packed.facts
        self._shape = (packed.layers, self.facts.key_heads, self.facts.width)
        self.cores = torch.get_num_threads()
        self._crew = ThreadPoolExecutor(self.cores)
        self._bare = self.lay_out({})
        self.step([Next(0, self.memory(), None)])
        self.read([0], self.memory(), None)

    def memory(self) -> Memory:
        """An empty one for a new request."""
        return Memory(*self._shape)

    def step(self, texts: Sequence[Next]) -> Tensor:
        """Read one token of each text on top of its memory, which grows.

        Returns:
            (texts, vocabulary) float32 logits of the next ones.
        """
        table, patches = [], [self._patch(text.weights) for text in texts]
        for text, patch in zip(texts, patches, strict=True):
            memory = text.memory
            assert isinstance(memory, Memory)
            memory.make_room(1)
            memory.length += 1
            arrays = memory.keys.numpy(), memory.values.numpy()
            table.append(kernels.row(*arrays, memory.length - 1, patch))
        x = self._packed.embed([text.token for text in texts])
        logits = kernels.step(x, np.array(table, np.int64), self._shape[1], self._weights)
        return torch.from_numpy(logits)[:, : self.facts.vocabulary]

    def read(
        self, ids: Sequence[int], memory: Memory, adapter: LoraWeights | None, keep: int = 1
    ) -> Tensor:
        """Read many tokens on top of the memory, which grows.

        Returns:
            (keep, vocabulary) float32 logits after the last ones.
        """
        places = np.arange(memory.length, memory.length + len(ids))
        x = self._pass(ids, places, np.zeros((len(ids), 2), np.int64), memory, adapter)
        memory.length += len(ids)
        return self._logits(x[len(ids) - keep :])

    def branches(
        self,
        rows: Sequence[Sequence[int]],
        memory: Memory,
        adapter: LoraWeights | None,
        trunk: Sequence[int] = (),
    ) -> list[Tensor]:
        """Read a trunk and its continuations in one pass; see `Base.branches`."""
        stem, sizes = len(trunk), [len(row) for row in rows]
        fork = memory.length + stem
        places = [np.arange(memory.length, fork), *(np.arange(fork, fork + n) for n in sizes)]
        begins = fork + np.cumsum([0, *sizes[:-1]])
        seen = [np.zeros((stem, 2), np.int64)]
        seen += [np.full((n, 2), (fork, begin)) for n, begin in zip(sizes, begins, strict=True)]
        ids = [*trunk, *(token for row in rows for token in row)]
        x = self._pass(ids, np.concatenate(places), np.concatenate(seen), memory, adapter)
        memory.length = fork
        if stem:
            return list(self._logits(x[stem - 1 :]).split([1, *sizes]))
        return list(self._logits(x).split(sizes))

    def _pass(
        self,
        ids: Sequence[int],
        places: Whole,
        seen: Whole,
        memory: Memory,
        adapter: LoraWeights | None,
    ) -> Floats:
        """Through all layers.

        Args:
            ids: N tokens.
            places: (N,) of the tokens in their text.
            seen: (N, 2) what each attends to, see `kernels.read`.
            memory: its filled part is read, the keys and values of the tokens are written after.

        Returns:
            (N, H) hidden states, normed.
        """
        memory.make_room(len(ids))
        arrays, patch = (memory.keys.numpy(), memory.values.numpy()), self._patch(adapter)
        line = np.array(kernels.row(*arrays, memory.length, patch), np.int64)
        table = np.tile(line, (len(ids), 1))
        table[:, kernels.READ] += np.arange(len(ids))
        table[:, kernels.PLACE] = places
        x = self._packed.embed(ids)
        # In turn, because the last ones see most.
        turns = np.arange(len(ids)) // TOGETHER % self.cores
        shares = [np.flatnonzero(turns == core) for core in range(turns.max() + 1)]
        width = len(self._weights.qkv_scale[0])
        parts = [
            (x[share], table[share], seen[share], np.empty((len(share), width), np.float32))
            for share in shares
        ]

        def go_on(layer: int, part: tuple[Floats, Whole, Whole, Floats]) -> None:
            own, lines, spans, qkv = part
            kernels.read(own, lines, spans, layer, *self._shape[1:], self._weights, qkv)

        for layer in range(-1, self._shape[0]):
            self._each(partial(go_on, layer), parts)
        for share, part in zip(shares, parts, strict=True):
            x[share] = part[0]
        return x

    def _logits(self, x: Floats) -> Tensor:
        """(N, H) -> (N, vocabulary) float32."""
        head = self._weights.head
        logits = np.empty((len(x), len(head) * LANES), np.float32)
        shares = [slice(i, i + TOGETHER) for i in range(0, len(x), TOGETHER)]

        def project(share: slice) -> None:
            kernels.product(head, self._weights.head_scale, x[share], logits[share])

        self._each(project, shares)
        return torch.from_numpy(logits)[:, : self.facts.vocabulary]

    def _each(self, work: Callable[[Part], None], parts: Sequence[Part]) -> None:
        """Do the parts on the cores, and wait for all."""
        on = map if self.cores == 1 or len(parts) == 1 else self._crew.map
        list(on(work, parts))

    def _patch(self, adapter: LoraWeights | None) -> Patch:
        patch: Patch = self._bare if adapter is None else adapter.layers
        return patch

    def lay_out(self, pairs: Pairs) -> Patch:
        """An adapter's factors by group; layers and ranks that it lacks are zero."""
        rank = max((len(down) for down, _ in pairs.values()), default=0)
        made: dict[str, Floats] = {}
        for name, parts in GROUPS.items():
            edges, layers = self.facts.edges[name], self._packed.layers
            rows, width = edges[-1], getattr(self._weights, name).shape[2]
            a = np.zeros((layers, len(parts), rank, width), np.float32)
            b = np.zeros((layers, rank, rows), np.float32)
            for layer in range(layers):
                for part, (begin, end) in enumerate(spans(edges)):
                    if pair := pairs.get(f"model.layers.{layer}.{parts[part]}"):
                        down, up = (side.float().numpy() for side in pair)
                        a[layer, part, : len(down)] = down
                        b[layer, : len(down), begin:end] = up.T
            made[f"{name}_a"], made[f"{name}_b"] = a, b
        return Patch(**made)


def compile_ahead() -> None:
    """Compile what every base needs, and keep it on disk for the processes that come."""
    Direct(smallest())
