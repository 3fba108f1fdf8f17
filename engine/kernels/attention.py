"""Attention: of the next token of several requests, or of a share of one prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from engine.kernels.compiler import compiled, features, inlined
from engine.kernels.layout import (
    CAPACITY,
    FILLED,
    KEYS,
    LANES,
    POSITION,
    QUERY_BLOCK,
    VALUES,
    Float32Array,
    Int64Array,
)
from engine.kernels.sums import dot, exp_sum, highest
from engine.kernels.tiles import Tile, compiled_tile

# Blocks of keys or values whose sums with four queries stand in registers.
ATTENTION_BLOCKS = 4 if "avx512f" in features() else 1


def _pointer_to(element: Any) -> Any:
    """An address as a pointer, as numba generates it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    def typing(typing: Any, address: Any) -> Any:
        return types.CPointer(element)(types.int64), generate

    return intrinsic(typing)


pointer = _pointer_to(types.float32)


@compiled
def _attention(
    query: Float32Array,
    keys: Float32Array,
    values: Float32Array,
    begin: int,
    end: int,
    y: Float32Array,
) -> None:
    """y = softmax(query keys / sqrt(width)) values, over the positions from `begin` to `end`.

    keys, values: (positions, width).
    """
    keys, values = keys[begin:end], values[begin:end]
    scores = np.empty(end - begin, np.float32)
    scale = np.float32(1 / np.sqrt(query.shape[0]))
    for t in range(scores.shape[0]):
        scores[t] = dot(query, keys[t]) * scale
    total = exp_sum(scores, highest(scores, np.float32(-3e38)))
    y[:] = 0
    for t in range(scores.shape[0]):
        share = scores[t] / total
        for i in range(y.shape[0]):
            y[i] += share * values[t, i]


@compiled
def decode_attention(
    table: Any,
    layer: int,
    layers: int,
    key_heads: int,
    width: int,
    window: int,
    qkv: Float32Array,
    mixed: Float32Array,
) -> None:
    """Every token to what the window shows of its own request. mixed: (rows, Q)."""
    group = mixed.shape[1] // width // key_heads
    for t in range(table.shape[0]):
        row, shape = table[t], (layers, key_heads, table[t, CAPACITY], width)
        keys, values = (
            carray(pointer(row[KEYS]), shape),
            carray(pointer(row[VALUES]), shape),
        )
        for h in range(key_heads * group):
            columns, of = slice(h * width, (h + 1) * width), h // group
            own_keys, own_values = keys[layer, of], values[layer, of]
            end = row[FILLED] + 1
            begin = max(0, end - window)
            _attention(qkv[t, columns], own_keys, own_values, begin, end, mixed[t, columns])


_float_tiles, _float_tile = (compiled_tile(Tile("plain", 4, n)) for n in (ATTENTION_BLOCKS, 1))


@inlined
def _float_matmul(weight: Float32Array, x: Float32Array, y: Float32Array) -> None:
    """y = x weight^T. weight: float32, tiled (out, in), of which `in` are read; x: (4n, in)."""
    blocks, stride = weight.shape[0], weight.strides[0] // (4 * LANES)
    rows, width = x.shape
    whole, out = blocks - blocks % ATTENTION_BLOCKS, y.shape[1]
    w, a, b = weight.ctypes.data, x.ctypes.data, y.ctypes.data
    for r in range(0, rows, 4):
        inputs, row = a + 4 * r * width, b + 4 * r * out
        for o in range(0, whole, ATTENTION_BLOCKS):
            at = 4 * o * LANES
            _float_tiles(w + at * stride, stride, 0, inputs, 0, 0, row + at, width, out)
        for o in range(whole, blocks):
            at = 4 * o * LANES
            _float_tile(w + at * stride, stride, 0, inputs, 0, 0, row + at, width, out)


@compiled
def prefill_attention(
    table: Any,
    visible: Any,
    layer: int,
    layers: int,
    key_heads: int,
    width: int,
    window: int,
    qkv: Float32Array,
    mixed: Float32Array,
) -> None:
    """Tokens of one request to what each of them sees of it, a block of queries at a time."""
    rows, group = table.shape[0], mixed.shape[1] // width // key_heads
    shape = (layers, key_heads, table[0, CAPACITY], width)
    keys = carray(pointer(table[0, KEYS]), shape)
    values = carray(pointer(table[0, VALUES]), shape)
    count = table[:, FILLED].max() + 1
    seen_from = _seen_from(table, visible, window)
    room = (count + LANES - 1) // LANES * LANES
    tiled_keys = np.zeros((room // LANES, width, LANES), np.float32)
    tiled_values = np.zeros((width // LANES, room, LANES), np.float32)
    queries = np.zeros((QUERY_BLOCK, width), np.float32)
    out = np.empty((QUERY_BLOCK, width), np.float32)
    scratch, totals = np.empty(QUERY_BLOCK * room, np.float32), np.empty(QUERY_BLOCK, np.float32)
    scale = np.float32(1 / np.sqrt(width))
    for of in range(key_heads):
        first = _first_block(visible, seen_from, 0, rows)
        _tile(keys[layer, of], values[layer, of], first, count, tiled_keys, tiled_values)
        for h in range(of * group, (of + 1) * group):
            for first in range(0, rows, QUERY_BLOCK):
                last = min(first + QUERY_BLOCK, rows)
                begin = _first_block(visible, seen_from, first, last)
                end = (table[first:last, FILLED].max() + LANES) // LANES * LANES
                seen = end - begin
                for r in range(first, last):
                    for i in range(width):
                        queries[r - first, i] = qkv[r, h * width + i] * scale
                fours = (last - first + 3) // 4 * 4
                scores = scratch[: fours * seen].reshape(fours, seen)
                _float_matmul(tiled_keys[begin // LANES : end // LANES], queries[:fours], scores)
                for r in range(first, last):
                    totals[r - first] = _masked_exp_sum(
                        scores[r - first],
                        max(0, seen_from[r, 0] - begin),
                        max(0, visible[r, 0] - begin),
                        seen_from[r, 1] - begin,
                        table[r, FILLED] - begin,
                    )
                _float_matmul(tiled_values[:, begin:], scores, out)
                for r in range(first, last):
                    for i in range(width):
                        mixed[r, h * width + i] = out[r - first, i] / totals[r - first]


@inlined
def _seen_from(table: Any, visible: Any, window: int) -> Int64Array:
    """(rows, 2) the first position in each token's window, before the fork and after it."""
    seen_from = np.empty((table.shape[0], 2), np.int64)
    for r in range(table.shape[0]):
        seen_from[r, 0] = min(max(0, table[r, POSITION] + 1 - window), visible[r, 0])
        seen_from[r, 1] = max(visible[r, 1], table[r, FILLED] + 1 - window)
    return seen_from


@inlined
def _tile(
    keys: Float32Array,
    values: Float32Array,
    begin: int,
    end: int,
    tiled_keys: Float32Array,
    tiled_values: Float32Array,
) -> None:
    """Lay some positions' keys and values, (positions, width) each, side by side in lanes."""
    width = keys.shape[1]
    for t in range(begin, end):
        for i in range(width):
            tiled_keys[t // LANES, i, t % LANES] = keys[t, i]
        for i in range(0, width, LANES):
            tiled_values[i // LANES, t] = values[t, i : i + LANES]


@inlined
def _first_block(visible: Any, seen_from: Int64Array, first: int, last: int) -> Any:
    """Where the block of positions begins that holds the first one any of some queries sees."""
    least = np.int64(2**62)
    for r in range(first, last):
        least = min(least, seen_from[r, 0] if visible[r, 0] > seen_from[r, 0] else seen_from[r, 1])
    return least // LANES * LANES


@inlined
def _masked_exp_sum(scores: Float32Array, start: int, end: int, begin: int, own: int) -> Any:
    """e to the scores of what is seen, less the highest; 0 for the rest. Returns their sum.

    Seen are the positions from `start` to before `end`, and those from `begin` to `own`.
    """
    before, after = scores[start : max(start, end)], scores[begin : own + 1]
    top = highest(after, highest(before, np.float32(-3e38)))
    total = exp_sum(before, top) + exp_sum(after, top)
    scores[:start] = 0
    scores[end:begin] = 0
    scores[own + 1 :] = 0
    return total
