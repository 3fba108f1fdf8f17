"""A Llama-like decoder as compiled functions: `decode` reads the next tokens of several requests on
one core, `prefill_layer` a share of one prompt.

A transformers forward pass for one token spends most of its time between its products: some 900
operators at a few microseconds each. Here the whole pass is one function, compiled by numba for the
processor it runs on.

Sixteen rows of 8-bit weights lie side by side, as `tiled` lays them, in the lanes of a register,
and meet up to four inputs of the batch while they are there. A processor that multiplies bytes
(AVX-512 VNNI) gets the inputs as bytes too, each 32 of them with a scale of their own; on others
a weight becomes a float32 on its way through a register, and nothing else is rounded. Each request
has its own adapter, whose factors are float16 and meet the inputs as they are, and is summed in the
same order whoever else is in the batch, so it gets the same numbers as alone. It runs without
Python's lock: a batch on each core.

A layer has four phases: `_project_qkv`, attention (`decode_attention` or `prefill_attention`),
`_project_output` and `_feed_forward`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from engine.kernels.attention import decode_attention, pointer, prefill_attention
from engine.kernels.compiler import compiled
from engine.kernels.layout import (
    CAPACITY,
    DOWN,
    FILLED,
    GATE_UP,
    GELU_TANH,
    KEYS,
    OUT,
    POSITION,
    QKV,
    VALUES,
    DecoderWeights,
    Float32Array,
    Int64Array,
)
from engine.kernels.lora import add_lora
from engine.kernels.products import matmul
from engine.kernels.sums import dot, exp


@compiled
def _rms_norm(x: Float32Array, weight: Float32Array, epsilon: float, y: Float32Array) -> None:
    """RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467."""
    scale = np.float32(1 / np.sqrt(dot(x, x) / np.float32(x.shape[0]) + epsilon))
    for i in range(x.shape[0]):
        y[i] = x[i] * scale * weight[i]


@compiled
def _apply_rotary(head: Float32Array, cos: Float32Array, sin: Float32Array) -> None:
    """Rotary position, in place. Su et al. 2021, arXiv 2104.09864."""
    half = cos.shape[0]
    for i in range(half):
        a, b = head[i], head[i + half]
        head[i] = a * cos[i] - b * sin[i]
        head[i + half] = b * cos[i] + a * sin[i]


@compiled
def _project_qkv(
    x: Float32Array,
    table: Any,
    layer: int,
    key_heads: int,
    width: int,
    weights: DecoderWeights,
    qkv: Float32Array,
) -> None:
    """Queries, keys and values of a layer; these two are also written into the KV caches.

    Args:
        x: (rows, H).
        qkv: (rows, Q + 2K) to be filled.
    """
    layers, _, wide, _ = weights.out.shape
    narrow, rows = key_heads * width, x.shape[0]
    heads, edges = wide // width, np.array((0, wide, wide + narrow, wide + 2 * narrow))
    normed = np.empty_like(x)
    for t in range(rows):
        _rms_norm(x[t], weights.attention_norm[layer], weights.epsilon, normed[t])
    matmul(weights.qkv[layer], weights.qkv_scale[layer], normed, qkv)
    add_lora(table, QKV, layer, edges, normed, qkv)
    for t in range(rows):
        row = table[t]
        if weights.qkv_bias.shape[0]:
            qkv[t] += weights.qkv_bias[layer]
        for h in range(heads + key_heads):
            head = qkv[t, h * width : (h + 1) * width]
            if weights.query_norm.shape[0]:
                norm = weights.query_norm[layer] if h < heads else weights.key_norm[layer]
                _rms_norm(head, norm, weights.epsilon, head)
            at = weights.rotary[layer], row[POSITION]
            _apply_rotary(head, weights.cos[at], weights.sin[at])
        shape = (layers, key_heads, row[CAPACITY], width)
        keys, values = (
            carray(pointer(row[KEYS]), shape),
            carray(pointer(row[VALUES]), shape),
        )
        for h in range(key_heads):
            at_key = wide + h * width
            keys[layer, h, row[FILLED]] = qkv[t, at_key : at_key + width]
            values[layer, h, row[FILLED]] = qkv[t, at_key + narrow : at_key + narrow + width]


@compiled
def _project_output(
    x: Float32Array, table: Any, layer: int, weights: DecoderWeights, mixed: Float32Array
) -> None:
    """Add what a layer's attention has mixed to x. x: (rows, H); mixed: (rows, Q)."""
    projected = np.empty_like(x)
    matmul(weights.out[layer], weights.out_scale[layer], mixed, projected)
    add_lora(table, OUT, layer, np.array((0, x.shape[1])), mixed, projected)
    for t in range(x.shape[0]):
        if weights.post_attention_norm.shape[0]:
            norm = weights.post_attention_norm[layer]
            _rms_norm(projected[t], norm, weights.epsilon, projected[t])
        x[t] += projected[t]


@compiled
def _feed_forward(x: Float32Array, table: Any, layer: int, weights: DecoderWeights) -> None:
    """Add what a layer's feed-forward network makes of x: SwiGLU or GeGLU. x: (rows, H).

    Shazeer 2020, arXiv 2002.05202. GELU by tanh (Hendrycks and Gimpel 2016, arXiv 1606.08415) is
    x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
    """
    inner = weights.down.shape[2]
    rows, hidden = x.shape
    normed, projected = np.empty_like(x), np.empty_like(x)
    gates, gated = np.empty((rows, 2 * inner), np.float32), np.empty((rows, inner), np.float32)
    for t in range(rows):
        _rms_norm(x[t], weights.feed_forward_norm[layer], weights.epsilon, normed[t])
    matmul(weights.gate_up[layer], weights.gate_up_scale[layer], normed, gates)
    add_lora(table, GATE_UP, layer, np.array((0, inner, 2 * inner)), normed, gates)
    for t in range(rows):
        for i in range(inner):
            gate = gates[t, i]
            z = gate
            if weights.activation == GELU_TANH:
                cubic = gate + np.float32(0.044715) * gate * gate * gate
                z = np.float32(1.5957691216057308) * cubic
            small = exp(-abs(z))  # the sigmoid, from an exponent that is never above 0
            share = np.float32(1) if z > 0 else small
            gated[t, i] = gate * share / (np.float32(1) + small) * gates[t, inner + i]
    matmul(weights.down[layer], weights.down_scale[layer], gated, projected)
    add_lora(table, DOWN, layer, np.array((0, hidden)), gated, projected)
    for t in range(rows):
        if weights.post_feed_forward_norm.shape[0]:
            norm = weights.post_feed_forward_norm[layer]
            _rms_norm(projected[t], norm, weights.epsilon, projected[t])
        x[t] += projected[t]


@compiled
def prefill_layer(
    x: Float32Array,
    table: Any,
    visible: Any,
    edges: Int64Array,
    layer: int,
    key_heads: int,
    width: int,
    weights: DecoderWeights,
    qkv: Float32Array,
) -> None:
    """Some tokens of some requests from their keys in one layer to their keys in the next.

    All tokens of the requests must have come as far. The layer is -1 at the start.

    Args:
        x: (rows, H) the tokens' embeddings at the start; changed, and normed after the last layer.
        table: (rows, columns) int64, a `token_row` for each, with the same arrays in a request.
        visible: (rows, 2) what each sees besides itself: the positions before the first number, and
            those from the second number on.
        edges: (requests + 1,) where each request's tokens begin, and where the last one's end.
        layer: the one whose keys there are.
        key_heads: heads of keys and of values, and the `width` of each.
        weights: the base.
        qkv: (rows, Q + 2K), what the call for the layer before left there.
    """
    layers, _, wide, _ = weights.out.shape
    rows = x.shape[0]
    if layer >= 0:
        mixed = np.empty((rows, wide), np.float32)
        window = weights.window[layer]
        for i in range(len(edges) - 1):
            own = slice(edges[i], edges[i + 1])
            prefill_attention(
                table[own],
                visible[own],
                layer,
                layers,
                key_heads,
                width,
                window,
                qkv[own],
                mixed[own],
            )
        _project_output(x, table, layer, weights, mixed)
        _feed_forward(x, table, layer, weights)
    if layer + 1 < layers:
        _project_qkv(x, table, layer + 1, key_heads, width, weights, qkv)
    else:
        for t in range(rows):
            _rms_norm(x[t], weights.final_norm, weights.epsilon, x[t])


@compiled
def decode(x: Float32Array, table: Any, key_heads: int, weights: DecoderWeights) -> None:
    """Read one token of each request on top of its KV cache.

    Args:
        x: (requests, H) the tokens' embeddings; normed hidden states, for the head, at the end.
        table: (requests, columns) int64, a `token_row` for each; the keys and values of the tokens
            are written into the arrays that it names.
        key_heads: heads of keys and of values.
        weights: the base.
    """
    layers, _, wide, _ = weights.out.shape
    rows = x.shape[0]
    width = (weights.qkv_scale.shape[1] - wide) // 2 // key_heads
    qkv = np.empty((rows, weights.qkv_scale.shape[1]), np.float32)
    mixed = np.empty((rows, wide), np.float32)
    for layer in range(layers):
        _project_qkv(x, table, layer, key_heads, width, weights, qkv)
        window = weights.window[layer]
        decode_attention(table, layer, layers, key_heads, width, window, qkv, mixed)
        _project_output(x, table, layer, weights, mixed)
        _feed_forward(x, table, layer, weights)
    for t in range(rows):
        _rms_norm(x[t], weights.final_norm, weights.epsilon, x[t])
