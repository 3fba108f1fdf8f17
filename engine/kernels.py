"""One token through a Llama-like decoder on one processor core, as one compiled function.

A transformers forward pass for one token spends most of its time between its products: some 900
operators at a few microseconds each. Here the whole pass is one function, compiled by numba for the
processor it runs on. The products convert 8-bit weights to float32 on the way through the
registers, so that a weight is read from memory once, as one byte, and nothing else is rounded.

It runs without Python's lock: as many answers grow at once as there are cores, none waits for
another, and each is summed in the same order whoever runs beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.int8]
Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compiled once for this processor; the machine code is kept on disk beside the source."""
    make = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, make(function))


class Weights(NamedTuple):
    """A base's weights; L layers, H hidden, I inner, Q and K widths of queries and of keys.

    Layers that read the same input stand in one array: query, key and value in `qkv`, gate and up
    in `gate_up`. Biases and norms of heads have no rows where the base has none.
    """

    qkv: Bytes  # (L, Q + 2K, H)
    qkv_scale: Floats  # (L, Q + 2K)
    qkv_bias: Floats  # (L or 0, Q + 2K)
    out: Bytes  # (L, H, Q)
    out_scale: Floats
    gate_up: Bytes  # (L, 2I, H)
    gate_up_scale: Floats
    down: Bytes  # (L, H, I)
    down_scale: Floats
    head: Bytes  # (vocabulary, H)
    head_scale: Floats
    before: Floats  # (L, H), the norm before attention
    between: Floats  # (L, H), the norm before the inner layers
    end: Floats  # (H,)
    query_norm: Floats  # (L or 0, head width)
    key_norm: Floats
    cos: Floats  # (positions, head width / 2)
    sin: Floats
    epsilon: float


class Patch(NamedTuple):
    """An adapter of rank r on the same layers; r is 0 for the bare base.

    Of every group of layers: `_a` (L, parts, r, in) and `_b` (L, r, out), scaling included.
    """

    qkv_a: Floats
    qkv_b: Floats
    out_a: Floats
    out_b: Floats
    gate_up_a: Floats
    gate_up_b: Floats
    down_a: Floats
    down_b: Floats


@_compiled
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@_compiled
def _product(weight: Bytes, scale: Floats, x: Floats, y: Floats) -> None:
    """y = scale * (weight x). weight: (out, in) int8."""
    rows, width = weight.shape
    for o in range(rows):
        total = np.float32(0)
        for i in range(width):
            total += np.float32(weight[o, i]) * x[i]
        y[o] = total * scale[o]


@_compiled
def _adapt(a: Floats, b: Floats, edges: Any, x: Floats, y: Floats) -> None:
    """y += B A x, each part on its own columns. a: (parts, r, in); b: (r, out)."""
    rank = a.shape[1]
    for part in range(a.shape[0]):
        begin, end = edges[part], edges[part + 1]
        out = y[begin:end]
        for j in range(0, rank - 3, 4):  # four at once: `out` is read and written less often
            b0, b1 = b[j, begin:end], b[j + 1, begin:end]
            b2, b3 = b[j + 2, begin:end], b[j + 3, begin:end]
            n0, n1 = _dot(a[part, j], x), _dot(a[part, j + 1], x)
            n2, n3 = _dot(a[part, j + 2], x), _dot(a[part, j + 3], x)
            for c in range(end - begin):
                out[c] += n0 * b0[c] + n1 * b1[c] + n2 * b2[c] + n3 * b3[c]
        for j in range(rank - rank % 4, rank):
            narrow = _dot(a[part, j], x)
            row = b[j, begin:end]
            for c in range(end - begin):
                out[c] += narrow * row[c]


@_compiled
def _norm(x: Floats, weight: Floats, epsilon: float, y: Floats) -> None:
    """RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467."""
    scale = np.float32(1 / np.sqrt(_dot(x, x) / np.float32(x.shape[0]) + epsilon))
    for i in range(x.shape[0]):
        y[i] = x[i] * scale * weight[i]


@_compiled
def _rotate(head: Floats, cos: Floats, sin: Floats) -> None:
    """Rotary position, in place. Su et al. 2021, arXiv 2104.09864."""
    half = cos.shape[0]
    for i in range(half):
        a, b = head[i], head[i + half]
        head[i] = a * cos[i] - b * sin[i]
        head[i + half] = b * cos[i] + a * sin[i]


@_compiled
def _attend(query: Floats, keys: Floats, values: Floats, count: int, y: Floats) -> None:
    """y = softmax(query keys / sqrt(width)) values. keys, values: (positions, width)."""
    scores = np.empty(count, np.float32)
    scale = np.float32(1 / np.sqrt(query.shape[0]))
    top = np.float32(-3e38)
    for t in range(count):
        scores[t] = _dot(query, keys[t]) * scale
        top = max(top, scores[t])
    total = np.float32(0)
    for t in range(count):
        scores[t] = np.exp(scores[t] - top)
        total += scores[t]
    y[:] = 0
    for t in range(count):
        share = scores[t] / total
        for i in range(y.shape[0]):
            y[i] += share * values[t, i]


@_compiled
def project(x: Floats, head: Bytes, scale: Floats) -> Floats:
    """(H,) -> (vocabulary,) logits."""
    logits = np.empty(head.shape[0], np.float32)
    _product(head, scale, x, logits)
    return logits


@_compiled
def step(
    x: Floats, position: int, weights: Weights, patch: Patch, keys: Floats, values: Floats
) -> Floats:
    """Read one token on top of `position` others.

    Args:
        x: (H,) its embedding; changed.
        position: how many tokens were read before.
        weights: the base.
        patch: the adapter.
        keys: (L, key heads, positions, head width), of which the first `position` are read and
            the next is written; `values` alike.

    Returns:
        (vocabulary,) logits of the next token.
    """
    layers, hidden, wide = weights.out.shape
    inner = weights.down.shape[2]
    key_heads, width = keys.shape[1], keys.shape[3]
    narrow = key_heads * width
    heads = wide // width
    group = heads // key_heads
    qkv_edges = (0, wide, wide + narrow, wide + 2 * narrow)
    one, two = (0, hidden), (0, inner, 2 * inner)
    cos, sin = weights.cos[position], weights.sin[position]
    normed, grown = np.empty(hidden, np.float32), np.empty(hidden, np.float32)
    qkv, mixed = np.empty(wide + 2 * narrow, np.float32), np.empty(wide, np.float32)
    gates, gated = np.empty(2 * inner, np.float32), np.empty(inner, np.float32)
    for layer in range(layers):
        _norm(x, weights.before[layer], weights.epsilon, normed)
        _product(weights.qkv[layer], weights.qkv_scale[layer], normed, qkv)
        if weights.qkv_bias.shape[0]:
            qkv += weights.qkv_bias[layer]
        _adapt(patch.qkv_a[layer], patch.qkv_b[layer], qkv_edges, normed, qkv)
        for h in range(heads + key_heads):
            head = qkv[h * width : (h + 1) * width]
            if weights.query_norm.shape[0]:
                norm = weights.query_norm[layer] if h < heads else weights.key_norm[layer]
                _norm(head, norm, weights.epsilon, head)
            _rotate(head, cos, sin)
        for h in range(key_heads):
            begin = wide + h * width
            keys[layer, h, position] = qkv[begin : begin + width]
            values[layer, h, position] = qkv[begin + narrow : begin + narrow + width]
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            of = h // group
            _attend(qkv[part], keys[layer, of], values[layer, of], position + 1, mixed[part])
        _product(weights.out[layer], weights.out_scale[layer], mixed, grown)
        _adapt(patch.out_a[layer], patch.out_b[layer], one, mixed, grown)
        x += grown
        _norm(x, weights.between[layer], weights.epsilon, normed)
        _product(weights.gate_up[layer], weights.gate_up_scale[layer], normed, gates)
        _adapt(patch.gate_up_a[layer], patch.gate_up_b[layer], two, normed, gates)
        for i in range(inner):
            gated[i] = gates[i] / (np.float32(1) + np.exp(-gates[i])) * gates[inner + i]
        _product(weights.down[layer], weights.down_scale[layer], gated, grown)
        _adapt(patch.down_a[layer], patch.down_b[layer], one, gated, grown)
        x += grown
    _norm(x, weights.end, weights.epsilon, normed)
    return project(normed, weights.head, weights.head_scale)
