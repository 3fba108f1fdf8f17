"""A packed base on the CPU: prompts and tokens through `kernels`, without transformers' layers.

The tokens of a prompt are shared out to the cores, which wait for each other once a layer, because
a token attends to all before it. The layers of the next token of an answer are one core's work, the
vocabulary is all cores'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from engine.kernels import decoder, products
from engine.kernels.layout import (
    GROUPS,
    LANES,
    LORA,
    QUERY_BLOCK,
    SIDES,
    Factor,
    Float32Array,
    Int64Array,
    PackedLora,
    tiled_factor,
)
from engine.kv_cache import DecodeInput, KVCache, ScoreInput
from engine.lora import LoraAdapter, LoraFactors
from engine.packed_model import PackedModel, spans
from engine.packing import smallest
from engine.prompt_lookup import GuessCost
from engine.readings import Reading, Share, of_branches, of_prompt, scored_rows, shared_out

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")
MAX_GUESSES = 7
SHARED_BLOCKS = 4096  # of the head from which one token's logits are worth several cores
HEAD_PARTS = 8  # that the head is read in where only sums over it are wanted


class CPUModel:
    """A base's weights and the cores that read with them. See `engine.base_model.BaseModel`.

    Attributes:
        cores: how many may read one prompt; fewer where other requests are read beside it.
    """

    device = torch.device("cpu")
    max_guesses = MAX_GUESSES

    def __init__(self, packed: PackedModel) -> None:
        """Compile, or read what was compiled before."""
        self._packed, self._weights, self._config = packed, packed.weights, packed.config
        self.end_tokens = frozenset(packed.config.end_tokens)
        self.lora_shapes = packed.config.lora_shapes
        self.max_threads = self.cores = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.cores)
        self._no_lora, self.guess_cost = self.prepare_lora({}), GuessCost()
        self.decode([DecodeInput(0, self.new_cache(), None)])
        self.prefill([0], self.new_cache(), None)
        _finished(self.score([ScoreInput([0], [[0, 0]], self.new_cache(), None)]))
        self.guess_cost = GuessCost()  # up to here it was compiled

    def new_cache(self) -> KVCache:
        """An empty KV cache for a new request."""
        return KVCache(self._packed.layers, self._config.key_heads, self._config.head_width)

    def decode(self, inputs: Sequence[DecodeInput[KVCache]]) -> Sequence[Tensor]:
        """Read tokens and guesses: (vocabulary,) float32 logits after each."""
        began, ids, tables = time.perf_counter(), list[int](), list[Int64Array]()
        for one in inputs:
            own = [one.token, *one.guesses]
            one.cache.reserve(len(own))
            tables.append(of_prompt(own, one.cache, self._lora(one.adapter)).table())
            one.cache.length += len(own)
            ids += own
        table, x = np.concatenate(tables), self._packed.embed(ids)
        # A request's tokens stay on one core; neighbours with one adapter meet it together.
        rows = np.split(np.arange(len(ids)), np.cumsum([len(own) for own in tables[:-1]]))
        rows.sort(key=lambda own: table[own[0], LORA])
        cores = min(self.cores, len(rows))
        edges = [len(rows) * core // cores for core in range(cores + 1)]

        def read(share: Int64Array) -> None:
            hidden = x[share]
            decoder.decode(hidden, table[share], self._config.key_heads, self._weights)
            x[share] = hidden

        self._each(read, [np.concatenate(rows[begin:end]) for begin, end in spans(edges)])
        logits = list(self._logits(x))
        if len(inputs) == 1:
            self.guess_cost.took(len(inputs[0].guesses), time.perf_counter() - began)
        return logits

    def prefill(
        self, ids: Sequence[int], cache: KVCache, adapter: LoraAdapter | None, keep: int = 1
    ) -> Tensor:
        """Read tokens on top of a KV cache: (keep, vocabulary) float32 logits."""
        x = _finished(self._forward([of_prompt(ids, cache, self._lora(adapter))]))
        cache.length += len(ids)
        return self._logits(x[len(ids) - keep :])

    def score(
        self, inputs: Sequence[ScoreInput[KVCache]]
    ) -> Generator[None, None, list[list[float]]]:
        """Read all prompts and continuations in one pass, left off after each layer."""
        x = yield from self._forward([of_branches(one, self._lora(one.adapter)) for one in inputs])
        for one in inputs:
            one.cache.length += len(one.prompt)
        logprobs = iter((yield from self._log_likelihoods(x, *scored_rows(inputs))))
        return [[sum(islice(logprobs, len(ids))) for ids in one.continuations] for one in inputs]

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

    def _forward(self, readings: Sequence[Reading]) -> Generator[None, None, Float32Array]:
        """Through all layers, left off after each.

        Returns:
            (N, H) hidden states of all readings' tokens, normed.
        """
        for one in readings:
            one.cache.reserve(len(one.ids))
        x = self._packed.embed([token for one in readings for token in one.ids])
        shares = shared_out(readings, x, self.cores, len(self._weights.qkv_scale[0]))
        shape = self._config.key_heads, self._config.head_width

        def advance(layer: int, share: Share) -> None:
            _, hidden, table, visible, edges, qkv = share
            decoder.prefill_layer(hidden, table, visible, edges, layer, *shape, self._weights, qkv)

        for layer in range(-1, self._packed.layers):
            self._each(partial(advance, layer), shares)
            yield
        for share in shares:
            x[share.rows] = share.x
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
            products.matmul(head[begin:end], scale[columns], x[rows], logits[rows, columns])

        self._each(project, shares)
        return torch.from_numpy(logits)[:, : self._config.vocabulary]

    def _log_likelihoods(
        self, x: Float32Array, read: Sequence[int], targets: Sequence[int]
    ) -> Generator[None, None, list[float]]:
        """Of each pair of a row of hidden states and a token, its log-likelihood there.

        Only the tokens' own logits are kept; of all others the sum is.
        """
        head, scale = self._weights.head, self._weights.head_scale
        if not targets:
            return []
        rows, at = np.unique(np.array(read, np.int64), return_inverse=True)
        x, tokens = x[rows], np.array(targets, np.int64)
        own = np.empty(len(tokens), np.float32)
        products.products_of(head, scale, x, at, tokens, own)
        sums = np.empty((HEAD_PARTS, len(rows)), np.float32)
        edges = [len(head) * part // HEAD_PARTS for part in range(HEAD_PARTS + 1)]

        def add(part: int) -> None:
            begin, end = edges[part], edges[part + 1]
            columns, count = slice(begin * LANES, end * LANES), self._config.vocabulary
            products.log_sum_exp(
                head[begin:end], scale[columns], x, count - begin * LANES, sums[part]
            )

        cores = self.cores
        for part in range(0, HEAD_PARTS, cores):
            self._each(add, range(part, min(part + cores, HEAD_PARTS)))
            yield
        likelihoods: list[float] = (own - np.logaddexp.reduce(sums, axis=0)[at]).tolist()
        return likelihoods

    def _each(self, work: Callable[[WorkT], None], parts: Sequence[WorkT]) -> None:
        """Do the parts on the cores, and wait for all."""
        run = map if self.cores == 1 or len(parts) == 1 else self._pool.map
        list(run(work, parts))

    def _lora(self, adapter: LoraAdapter | None) -> PackedLora:
        lora: PackedLora = self._no_lora if adapter is None else adapter.weights
        return lora


def _finished(work: Generator[None, None, ResultT]) -> ResultT:
    """What comes of it, without leaving off."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return cast(ResultT, end.value)


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
        tiled_factor(group_a.reshape(-1, width)),
        tiled_factor(np.ldexp(group_b, -power[:, None])),
        np.ldexp(np.ones_like(power, np.float32), power),
    )


def compile_ahead() -> None:
    """Compile what every base needs, and keep it on disk for the processes that come."""
    CPUModel(smallest())
