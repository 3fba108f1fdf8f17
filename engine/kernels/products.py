"""Products of tiled weights and inputs, and sums over products with the whole vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.kernels.compiler import compiled, features, inlined, processor
from engine.kernels.layout import (
    INT8_INPUTS,
    LANES,
    LAYOUT,
    QUANT_GROUP,
    Float32Array,
    Int8Array,
    Int64Array,
)
from engine.kernels.sums import exp_sum, highest
from engine.kernels.tiles import Tile, compiled_tile

L2_BLOCKS = 12  # blocks of weights that stay in the second cache while every input meets them
# How many blocks' sums stand in registers, for so many inputs: AVX-512 has 32 of 16 floats, AVX2 16
# of 8; a sum of bytes stands beside its float.
REGISTER_BLOCKS = {1: 4, 2: 2, 3: 2, 4: 1}
if "avx512f" in features():
    REGISTER_BLOCKS = {1: 12, 2: 6, 3: 6, 4: 6}
if INT8_INPUTS:  # a Zen 4 reads one input's weights quicker the more places it reads from
    REGISTER_BLOCKS = {1: 12 if processor() == "znver4" else 6, 2: 4, 3: 3, 4: 3}


def _matmul_of(inputs: int) -> Any:
    """The product of some rows of tiled weights and so many inputs."""
    many = REGISTER_BLOCKS[inputs]
    tile, last = (compiled_tile(Tile(LAYOUT, inputs, blocks)) for blocks in (many, 1))

    @inlined
    def multiply(
        weight: Int8Array,
        scale: Float32Array,
        x: Any,
        x_scale: Float32Array,
        correction: Float32Array,
        y: Float32Array,
    ) -> None:
        blocks, width, _ = weight.shape
        whole, out = blocks - blocks % many, y.strides[0] // 4
        w, s, a, b = weight.ctypes.data, scale.ctypes.data, x.ctypes.data, y.ctypes.data
        u, v = x_scale.ctypes.data, correction.ctypes.data
        for o in range(0, whole, many):
            r = o * LANES
            tile(w + r * width, width, s + 4 * r, a, u, v, b + 4 * r, width, out)
        for o in range(whole, blocks):
            r = o * LANES
            last(w + r * width, width, s + 4 * r, a, u, v, b + 4 * r, width, out)

    return multiply


_multiply_1, _multiply_2, _multiply_3, _multiply_4 = map(_matmul_of, REGISTER_BLOCKS)


@inlined
def _quantized(x: Float32Array) -> tuple[Any, Float32Array, Float32Array]:
    """Round a group of 32 elements at a time, as llama.cpp's Q8_0 does.

    Returns:
        (inputs, in) int8; (inputs, in / 32) scales; (inputs,) corrections: what counting the
        weights from -128 adds to every product.
    """
    inputs, width = x.shape
    small = np.empty((inputs, width), np.int8)
    scales = np.empty((inputs, width // QUANT_GROUP), np.float32)
    correction = np.zeros(inputs, np.float32)
    for t in range(inputs):
        for p in range(width // QUANT_GROUP):
            top = np.float32(1e-30)
            for i in range(p * QUANT_GROUP, (p + 1) * QUANT_GROUP):
                top = max(top, abs(x[t, i]))
            scale, times, count = top / np.float32(127), np.float32(127) / top, np.int32(0)
            for i in range(p * QUANT_GROUP, (p + 1) * QUANT_GROUP):
                value = x[t, i] * times
                half = np.float32(0.5) if value > 0 else np.float32(-0.5)
                whole = np.int32(value + half)
                small[t, i] = whole
                count += whole
            scales[t, p] = scale
            correction[t] += np.float32(128) * scale * np.float32(count)
    return small, scales, correction


@inlined
def _unquantized(x: Float32Array) -> tuple[Any, Float32Array, Float32Array]:
    """As they are."""
    return x, x, x[0]


_operands = _quantized if INT8_INPUTS else _unquantized


@inlined
def _multiply(
    weight: Int8Array,
    scale: Float32Array,
    x: Any,
    x_scale: Float32Array,
    correction: Float32Array,
    y: Float32Array,
) -> None:
    """The product of some rows of tiled weights and all inputs, see `_operands`."""
    w, s, a, u, v = weight, scale, x, x_scale, correction
    inputs = a.shape[0]
    fours = inputs - inputs % 4
    for t in range(0, fours, 4):
        _multiply_4(w, s, a[t : t + 4], u[t : t + 4], v[t : t + 4], y[t : t + 4])
    if inputs - fours == 1:
        _multiply_1(w, s, a[fours:], u[fours:], v[fours:], y[fours:])
    elif inputs - fours == 2:
        _multiply_2(w, s, a[fours:], u[fours:], v[fours:], y[fours:])
    elif inputs - fours == 3:
        _multiply_3(w, s, a[fours:], u[fours:], v[fours:], y[fours:])


@compiled
def matmul(weight: Int8Array, scale: Float32Array, x: Float32Array, y: Float32Array) -> None:
    """y = scale * (x weight^T). weight: tiled (out, in); x: (inputs, in); y: (inputs, out)."""
    blocks = weight.shape[0]
    a, u, v = _operands(x)
    for begin in range(0, blocks, L2_BLOCKS):
        end = min(begin + L2_BLOCKS, blocks)
        rows = slice(begin * LANES, end * LANES)
        _multiply(weight[begin:end], scale[rows], a, u, v, y[:, rows])


@compiled
def log_sum_exp(
    weight: Int8Array, scale: Float32Array, x: Float32Array, count: int, y: Float32Array
) -> None:
    """y = log of the sum of e to each of the first `count` products that `matmul` gives.

    The products are never in memory at one time. weight: tiled (out, in); x: (inputs, in); y:
    (inputs,).
    """
    inputs, blocks = x.shape[0], weight.shape[0]
    a, u, v = _operands(x)
    products = np.empty((inputs, L2_BLOCKS * LANES), np.float32)
    tops, totals = np.full(inputs, -3e38, np.float32), np.zeros(inputs, np.float64)
    for begin in range(0, blocks, L2_BLOCKS):
        end = min(begin + L2_BLOCKS, blocks)
        rows = slice(begin * LANES, end * LANES)
        own = min(end * LANES, count) - begin * LANES
        _multiply(weight[begin:end], scale[rows], a, u, v, products[:, : (end - begin) * LANES])
        for t in range(inputs):
            top = highest(products[t, :own], tops[t])
            totals[t] = totals[t] * np.exp(np.float64(tops[t] - top))
            totals[t] += exp_sum(products[t, :own], top)
            tops[t] = top
    for t in range(inputs):
        y[t] = tops[t] + np.log(totals[t])


@compiled
def products_of(
    weight: Int8Array,
    scale: Float32Array,
    x: Float32Array,
    inputs: Int64Array,
    rows: Int64Array,
    y: Float32Array,
) -> None:
    """y = of each pair of an input and a row of weights, the product that `matmul` gives."""
    a, u, v = _operands(x)
    lanes = np.empty((1, LANES), np.float32)
    for i in range(len(rows)):
        t, block = inputs[i], rows[i] // LANES
        own, s = weight[block : block + 1], scale[block * LANES : (block + 1) * LANES]
        _multiply_1(own, s, a[t : t + 1], u[t : t + 1], v[t : t + 1], lanes)
        y[i] = lanes[0, rows[i] % LANES]
