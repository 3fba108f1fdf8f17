"""A packed base on the CPU: prompts and tokens through `kernels`, without transformers' layers.

The tokens of a prompt are shared out to the cores, which wait for each other once a layer, because
a token attends to all before it. The next token of an answer is one core's work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import kernels
from engine.kernels import GROUPS, LANES, QUERY_BLOCK, SIDES, Factor, Float32Array, PackedLora
from engine.kv_cache import DecodeInput, KVCache
from engine.lora import LoraAdapter, LoraFactors
from engine.packed_model import PackedModel, spans
from engine.packing import smallest

IntArray = NDArray[np.int64]
WorkT = TypeVar("WorkT")
SHARED_BLOCKS = 4096  # of the head from which one token's logits are worth several cores
# Of a core: hidden states, rows of the table, what is visible, and queries, keys and values.
Share = tuple[Float32Array, IntArray, IntArray, Float32Array]


class CPUModel:
    """A base's weights and the cores that read with them. See `engine.base_model.BaseModel`.

    Attributes:
        cores: how many may read one prompt; fewer where other requests are read beside it.
    """

    device = torch.device("cpu")

    def __init__(self, packed: PackedModel) -> None:
        """Compile, or read what was compiled before."""
        self._packed, self._weights, self._config = packed, packed.weights, packed.config
        self.end_tokens = frozenset(packed.config.end_tokens)
        self.lora_shapes = packed.config.lora_shapes
        self.max_threads = self.cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.cores)
        self._no_lora = self.prepare_lora({})
        self.decode([DecodeInput(0, self.new_cache(), None)])
        self.prefill([0], self.new_cache(), None)

    def new_cache(self) -> KVCache:
        """An empty KV cache for a new request."""
        return KVCache(self._packed.layers, self._config.key_heads, self._config.head_width)

    def decode(self, inputs: Sequence[DecodeInput[KVCache]]) -> Sequence[Tensor]:
        """Read one token of each request: (vocabulary,) float32 logits of each."""
        table, loras = [], [self._lora(one.adapter) for one in inputs]
        for one, lora in zip(inputs, loras, strict=True):
            cache = one.cache
            cache.reserve(1)
            cache.length += 1
            arrays = cache.keys.numpy(), cache.values.numpy()
            table.append(kernels.token_row(*arrays, cache.length - 1, lora))
        x = self._packed.embed([one.token for one in inputs])
        kernels.decode(x, np.array(table, np.int64), self._config.key_heads, self._weights)
        return list(self._logits(x))

    def prefill(
        self, ids: Sequence[int], cache: KVCache, adapter: LoraAdapter | None, keep: int = 1
    ) -> Tensor:
        """Read tokens on top of a KV cache: (keep, vocabulary) float32 logits."""
        positions = np.arange(cache.length, cache.length + len(ids))
        x = self._forward(ids, positions, np.zeros((len(ids), 2), np.int64), cache, adapter)
        cache.length += len(ids)
        return self._logits(x[len(ids) - keep :])

    def prefill_branches(
        self,
        branches: Sequence[Sequence[int]],
        cache: KVCache,
        adapter: LoraAdapter | None,
        trunk: Sequence[int] = (),
    ) -> list[Tensor]:
        """Read a trunk and its continuations in one pass."""
        stem, sizes = len(trunk), [len(branch) for branch in branches]
        fork = cache.length + stem
        positions = [np.arange(cache.length, fork), *(np.arange(fork, fork + n) for n in sizes)]
        begins = fork + np.cumsum([0, *sizes[:-1]])
        visible = [np.zeros((stem, 2), np.int64)]
        visible += [np.full((n, 2), (fork, begin)) for n, begin in zip(sizes, begins, strict=True)]
        ids = [*trunk, *(token for branch in branches for token in branch)]
        x = self._forward(ids, np.concatenate(positions), np.concatenate(visible), cache, adapter)
        cache.length = fork
        if stem:
            return list(self._logits(x[stem - 1 :]).split([1, *sizes]))
        return list(self._logits(x).split(sizes))

    def truncate(self, cache: KVCache, count: int) -> None:
        """Drop the last tokens from a KV cache."""
        cache.length -= count

    def share_cores(self, threads: int) -> None:
        """Each of so many threads gets its share of the cores for a prompt."""
        self.cores = self.max_threads // threads

    def prepare_lora(self, factors: LoraFactors) -> PackedLora:
        """An adapter's factors by group, tiled; layers and ranks that it lacks are zero."""
        most = max((len(a) for a, _ in factors.values()), default=0)
        rank = -(-most // LANES) * LANES
        architecture, layers = self._packed.architecture, self._packed.layers
        arrays: dict[str, Any] = {}
        for group in GROUPS:
            names, edges = architecture.layer.groups[group], self._config.edges[group]
            width = getattr(self._weights, group).shape[2]
            tiles = [
                _tiled_group(
                    [factors.get(f"{architecture.layers}.{layer}.{name}") for name in names],
                    edges,
                    rank,
                    width,
                )
                for layer in range(layers)
            ]
            for side, of_layers in zip(SIDES, zip(*tiles, strict=True), strict=True):
                arrays[f"{group}_{side}"] = np.stack(of_layers)
        return PackedLora(**arrays)

    def _forward(
        self,
        ids: Sequence[int],
        positions: IntArray,
        visible: IntArray,
        cache: KVCache,
        adapter: LoraAdapter | None,
    ) -> Float32Array:
        """Through all layers.

        Args:
            ids: N tokens.
            positions: (N,) of the tokens in their text.
            visible: (N, 2) what each attends to, see `kernels.prefill_layer`.
            cache: its filled part is read, the keys and values of the tokens are written after.

        Returns:
            (N, H) hidden states, normed.
        """
        cache.reserve(len(ids))
        arrays, lora = (cache.keys.numpy(), cache.values.numpy()), self._lora(adapter)
        row = np.array(kernels.token_row(*arrays, cache.length, lora), np.int64)
        table = np.tile(row, (len(ids), 1))
        table[:, kernels.FILLED] += np.arange(len(ids))
        table[:, kernels.POSITION] = positions
        x = self._packed.embed(ids)
        # Dealt out in turn, because the last tokens attend to most.
        cores = np.arange(len(ids)) // QUERY_BLOCK % self.cores
        owned = [np.flatnonzero(cores == core) for core in range(cores.max() + 1)]
        width = len(self._weights.qkv_scale[0])
        shares = [
            (x[own], table[own], visible[own], np.empty((len(own), width), np.float32))
            for own in owned
        ]
        shape = self._config.key_heads, self._config.head_width

        def advance(layer: int, share: Share) -> None:
            hidden, rows, ranges, qkv = share
            kernels.prefill_layer(hidden, rows, ranges, layer, *shape, self._weights, qkv)

        for layer in range(-1, self._packed.layers):
            self._each(partial(advance, layer), shares)
        for own, share in zip(owned, shares, strict=True):
            x[own] = share[0]
        return x

    def _logits(self, x: Float32Array) -> Tensor:
        """(N, H) -> (N, vocabulary) float32. Few rows share out the head to the cores."""
        head, scale = self._weights.head, self._weights.head_scale
        logits = np.empty((len(x), len(head) * LANES), np.float32)
        parts = self.cores if len(x) <= QUERY_BLOCK and len(head) >= SHARED_BLOCKS else 1
        edges = [len(head) * part // parts for part in range(parts + 1)]
        shares = [
            (slice(i, i + QUERY_BLOCK), begin, end)
            for i in range(0, len(x), QUERY_BLOCK)
            for begin, end in spans(edges)
        ]

        def project(share: tuple[slice, int, int]) -> None:
            rows, begin, end = share
            columns = slice(begin * LANES, end * LANES)
            kernels.matmul(head[begin:end], scale[columns], x[rows], logits[rows, columns])

        self._each(project, shares)
        return torch.from_numpy(logits)[:, : self._config.vocabulary]

    def _each(self, work: Callable[[WorkT], None], parts: Sequence[WorkT]) -> None:
        """Do the parts on the cores, and wait for all."""
        run = map if self.cores == 1 or len(parts) == 1 else self._pool.map
        list(run(work, parts))

    def _lora(self, adapter: LoraAdapter | None) -> PackedLora:
        lora: PackedLora = self._no_lora if adapter is None else adapter.weights
        return lora


def _tiled_group(
    pairs: Sequence[tuple[Tensor, Tensor] | None], edges: Sequence[int], rank: int, width: int
) -> tuple[Factor, Factor, Float32Array]:
    """An adapter on one group of one layer, see `PackedLora`; parts that it lacks are zero.

    Powers of two go from the factors to the scale, so that float16 holds what it held in a file.
    """
    group_a = np.zeros((len(pairs), rank, width), np.float32)
    group_b = np.zeros((edges[-1], rank), np.float32)
    for part, (pair, (begin, end)) in enumerate(zip(pairs, spans(edges), strict=True)):
        if pair:
            a, b = (side.float().numpy() for side in pair)
            power = np.frexp(np.abs(a).max(1))[1]
            group_a[part, : len(a)] = np.ldexp(a, -power[:, None])
            group_b[begin:end, : len(a)] = np.ldexp(b, power)
    power = np.frexp(np.abs(group_b).max(-1, initial=0))[1]
    return (
        kernels.tiled_factor(group_a.reshape(-1, width)),
        kernels.tiled_factor(np.ldexp(group_b, -power[:, None])),
        np.ldexp(np.ones_like(power, np.float32), power),
    )


def compile_ahead() -> None:
    """Compile what every base needs, and keep it on disk for the processes that come."""
    CPUModel(smallest())
