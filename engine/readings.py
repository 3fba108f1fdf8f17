"""Tokens of several requests, laid out for one pass of `kernels.decoder.prefill_layer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.layout import (
    FILLED,
    POSITION,
    QUERY_BLOCK,
    Float32Array,
    PackedLora,
    token_row,
)
from engine.kv_cache import KVCache, ScoreInput

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """Tokens to be read on top of a request's KV cache.

    Attributes:
        ids: N tokens.
        positions: (N,) of the tokens in their text.
        visible: (N, 2) what each attends to, see `kernels.decoder.prefill_layer`.
        cache: its filled part is read, the keys and values of the tokens are written after.
        lora: of the request's adapter.
    """

    ids: Sequence[int]
    positions: IntArray
    visible: IntArray
    cache: KVCache
    lora: PackedLora

    def table(self) -> IntArray:
        """(N, columns) a `token_row` of each token."""
        arrays = self.cache.keys.numpy(), self.cache.values.numpy()
        row = np.array(token_row(*arrays, self.cache.length, self.lora), np.int64)
        table = np.tile(row, (len(self.ids), 1))
        table[:, FILLED] += np.arange(len(self.ids))
        table[:, POSITION] = self.positions
        return table


class Share(NamedTuple):
    """What one core does of a pass, see `kernels.decoder.prefill_layer`; `rows` are its tokens."""

    rows: IntArray
    x: Float32Array
    table: IntArray
    visible: IntArray
    edges: IntArray
    qkv: Float32Array


def of_prompt(ids: Sequence[int], cache: KVCache, lora: PackedLora) -> Reading:
    """Tokens that each see all before them."""
    positions = np.arange(cache.length, cache.length + len(ids))
    return Reading(ids, positions, np.zeros((len(ids), 2), np.int64), cache, lora)


def of_branches(one: ScoreInput[KVCache], lora: PackedLora) -> Reading:
    """A prompt, and continuations less their last token, which see it and themselves."""
    cache, sizes = one.cache, [len(ids) - 1 for ids in one.continuations]
    fork = cache.length + len(one.prompt)
    positions = [np.arange(cache.length, fork), *(np.arange(fork, fork + n) for n in sizes)]
    begins = accumulate(sizes, initial=fork)
    visible = [np.zeros((len(one.prompt), 2), np.int64)]
    visible += [np.full((n, 2), (fork, at)) for n, at in zip(sizes, begins, strict=False)]
    ids = [*one.prompt, *(token for ids in one.continuations for token in ids[:-1])]
    return Reading(ids, np.concatenate(positions), np.concatenate(visible), cache, lora)


def scored_rows(inputs: Sequence[ScoreInput[KVCache]]) -> tuple[list[int], list[int]]:
    """Where the tokens of all continuations are scored, and which they are.

    Returns:
        of each token, the row of the pass over `of_branches` after which it comes, and its id.
    """
    rows, tokens, begin = list[int](), list[int](), 0
    for one in inputs:
        end = begin + len(one.prompt)
        last = end - 1
        for ids in one.continuations:
            rows += [last, *range(end, end + len(ids) - 1)]
            tokens += ids
            end += len(ids) - 1
        begin = end
    return rows, tokens


def shared_out(readings: Sequence[Reading], x: Float32Array, cores: int, width: int) -> list[Share]:
    """The tokens dealt out to the cores in turn, because the last ones attend to most.

    Args:
        x: (N, H) embeddings of all readings' tokens.
        width: of queries, keys and values.
    """
    table = np.concatenate([one.table() for one in readings])
    visible = np.concatenate([one.visible for one in readings])
    ends = np.cumsum([0, *(len(one.ids) for one in readings)])
    owners = np.arange(len(x)) // QUERY_BLOCK % cores
    shares = []
    for core in range(owners.max() + 1):
        rows = np.flatnonzero(owners == core)
        edges = np.unique(np.searchsorted(rows, ends))
        qkv = np.empty((len(rows), width), np.float32)
        shares.append(Share(rows, x[rows], table[rows], visible[rows], edges, qkv))
    return shares
