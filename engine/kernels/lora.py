"""What adapters add to products, each request its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.kernels.compiler import compiled, features, inlined
from engine.kernels.layout import (
    ADAPTER_RANK,
    FACTOR_BYTES,
    HALF_FACTORS,
    LANES,
    LORA,
    SIDES,
    Float32Array,
    Int64Array,
)
from engine.kernels.tiles import Tile, compiled_tile

# Blocks whose sums stand in registers, for so many inputs. An adapter has few: each sum is taken as
# LORA_CHAINS sums, which do not wait for each other.
LORA_BLOCKS, LORA_CHAINS = {1: 2, 4: 1}, 2
if "avx512f" in features():
    LORA_BLOCKS, LORA_CHAINS = {1: 4, 4: 1}, 4


def _factor_product_of(inputs: int, adds: bool) -> Any:
    """The product of some rows of a tiled factor and so many inputs; for `adds` see `Tile`."""
    kind, many = "halves" if HALF_FACTORS else "plain", LORA_BLOCKS[inputs]
    tile, last = (
        compiled_tile(Tile(kind, inputs, blocks, adds, LORA_CHAINS)) for blocks in (many, 1)
    )

    @inlined
    def multiply(
        factor: int, blocks: int, scale: int, x: Float32Array, y: int, y_width: int
    ) -> None:
        """factor, scale and y are addresses; y's rows are so wide."""
        whole, width, a = blocks - blocks % many, x.shape[1], x.ctypes.data
        for o in range(0, whole, many):
            w, r = factor + FACTOR_BYTES * o * LANES * width, 4 * o * LANES
            tile(w, width, scale + r, a, 0, 0, y + r, width, y_width)
        for o in range(whole, blocks):
            w, r = factor + FACTOR_BYTES * o * LANES * width, 4 * o * LANES
            last(w, width, scale + r, a, 0, 0, y + r, width, y_width)

    return multiply


def _low_rank_of(inputs: int) -> Any:
    """What an adapter adds for so many inputs."""
    down, up = (_factor_product_of(inputs, adds) for adds in (False, True))

    @inlined
    def add(
        a: int, b: int, scale: int, rank: int, edges: Int64Array, x: Float32Array, y: Float32Array
    ) -> None:
        """y += scale * (B A x). a, b, scale: addresses of one layer's."""
        parts = len(edges) - 1
        narrow = np.empty((inputs, parts * rank), np.float32)
        own = np.empty((inputs, rank), np.float32)
        down(a, parts * rank // LANES, 0, x, narrow.ctypes.data, parts * rank)
        for part in range(parts):
            own[:] = narrow[:, part * rank : (part + 1) * rank]
            begin, end = edges[part], edges[part + 1]
            factor, blocks = b + FACTOR_BYTES * begin * rank, (end - begin) // LANES
            into, width = y.ctypes.data + 4 * begin, y.strides[0] // 4
            up(factor, blocks, scale + 4 * begin, own, into, width)

    return add


_low_rank_1, _low_rank_4 = map(_low_rank_of, LORA_BLOCKS)


@compiled
def add_lora(
    table: Any, group: int, layer: int, edges: Int64Array, x: Float32Array, y: Float32Array
) -> None:
    """Add the adapter of each token's request to one group of one layer.

    Four neighbours with the same adapter meet its factors together.

    Args:
        table: of the tokens, see `token_row`.
        edges: (parts + 1,) where each part's columns of y begin, and where the last one's end.
        x: (rows, in).
        y: (rows, out).
    """
    rows, begin = x.shape[0], 0
    parts, out = len(edges) - 1, edges[-1]
    while begin < rows:
        row, end = table[begin], begin + 1
        while end < min(begin + 4, rows) and table[end, LORA] == row[LORA]:
            end += 1
        rank, at = row[ADAPTER_RANK], LORA + len(SIDES) * group
        a = row[at] + FACTOR_BYTES * layer * parts * rank * x.shape[1]
        b, scale = row[at + 1] + FACTOR_BYTES * layer * out * rank, row[at + 2] + 4 * layer * out
        if rank and end - begin == 4:
            _low_rank_4(a, b, scale, rank, edges, x[begin:end], y[begin:end])
        elif rank:
            for t in range(begin, end):
                _low_rank_1(a, b, scale, rank, edges, x[t : t + 1], y[t : t + 1])
        begin = end
