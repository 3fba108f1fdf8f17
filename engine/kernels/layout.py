"""How weights, adapters and requests lie in memory for the compiled functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.compiler import features

Float32Array = NDArray[np.float32]
Int8Array = NDArray[np.int8]
Int64Array = NDArray[np.int64]
Factor = NDArray[np.float16] | Float32Array

SILU, GELU_TANH = 0, 1
LANES = 16  # rows of weights side by side: a block
QUANT_GROUP = 32  # inputs that are rounded with one scale, where inputs are
QUERY_BLOCK = 32  # neighbours in a prompt that attend at the same time, on the same core

INT8_INPUTS = "avx512vnni" in features()  # whether inputs are rounded to bytes too
LAYOUT = "bytes" if INT8_INPUTS else "floats"  # of tiled weights
# Adapters are float16 where one instruction makes float32 of them: they are as a rule saved so.
HALF_FACTORS = bool({"f16c", "neon"} & features())
FACTOR_BYTES = 2 if HALF_FACTORS else 4


class DecoderWeights(NamedTuple):
    """A base's weights; L layers, H hidden, I inner, Q and K widths of queries and of keys.

    The int8 ones are `tiled`: what stands here as (out, in) is (out / 16, in, 16).
    Layers that read the same input stand in one array: query, key and value in `qkv`, gate and up
    in `gate_up`. Biases and norms have no rows where the base has none.
    """

    qkv: Int8Array  # (L, Q + 2K, H)
    qkv_scale: Float32Array  # (L, Q + 2K)
    qkv_bias: Float32Array  # (L or 0, Q + 2K)
    out: Int8Array  # (L, H, Q)
    out_scale: Float32Array
    gate_up: Int8Array  # (L, 2I, H)
    gate_up_scale: Float32Array
    down: Int8Array  # (L, H, I)
    down_scale: Float32Array
    head: Int8Array  # (vocabulary, H)
    head_scale: Float32Array
    attention_norm: Float32Array  # (L, H), before attention
    post_attention_norm: Float32Array  # (L or 0, H), after it
    feed_forward_norm: Float32Array  # (L, H), before the feed-forward layers
    post_feed_forward_norm: Float32Array  # (L or 0, H), after them
    final_norm: Float32Array  # (H,)
    query_norm: Float32Array  # (L or 0, head width)
    key_norm: Float32Array
    cos: Float32Array  # (rotary tables, positions, head width / 2)
    sin: Float32Array
    rotary: Int64Array  # (L,) the table of a layer
    window: Int64Array  # (L,) positions that a layer's tokens attend to, themselves included
    activation: int  # of the gate: SILU or GELU_TANH
    epsilon: float


class PackedLora(NamedTuple):
    """An adapter on the same layers, of rank r as padded to `LANES`; 0 for the bare base.

    Of every group of layers: `_a` (L, parts r / 16, in, 16) and `_b` (L, out / 16, r, 16): rows of
    A of all parts and rows of B, 16 of them side by side. Both are float16 where there is
    `HALF_FACTORS`, else float32. `_scale` (L, out) multiplies what comes of B.
    """

    qkv_a: Factor
    qkv_b: Factor
    qkv_scale: Float32Array
    out_a: Factor
    out_b: Factor
    out_scale: Float32Array
    gate_up_a: Factor
    gate_up_b: Factor
    gate_up_scale: Float32Array
    down_a: Factor
    down_b: Factor
    down_scale: Float32Array

    @property
    def rank(self) -> int:
        """r."""
        return int(self.qkv_b.shape[2])


# Groups of layers that read the same input. `add_lora` finds a group's arrays by its number.
GROUPS = ("qkv", "out", "gate_up", "down")
QKV, OUT, GATE_UP, DOWN = range(len(GROUPS))
SIDES = ("a", "b", "scale")
assert PackedLora._fields == tuple(f"{group}_{side}" for group in GROUPS for side in SIDES)

# Columns of the table with a row for each token to be read, in int64: how many positions of its KV
# cache are filled before it, its position in the text, how many positions the cache has room for,
# the rank of its adapter, and the addresses of keys, of values and of the adapter's arrays.
FILLED, POSITION, CAPACITY, ADAPTER_RANK, KEYS, VALUES, LORA = range(7)


def token_row(keys: Float32Array, values: Float32Array, filled: int, lora: PackedLora) -> list[int]:
    """A token's row of the table, at the end of its text.

    Args:
        keys: (L, key heads, positions, head width); `values` alike. They and the adapter must live
            until the pass is done.
        filled: positions that are.
        lora: its adapter.
    """
    addresses = [array.ctypes.data for array in (keys, values, *lora)]
    return [filled, filled, keys.shape[2], lora.rank, *addresses]


def tiled(packed: Int8Array) -> Int8Array:
    """(..., out, in) -> (..., out / 16, in, 16): sixteen rows side by side; `out` divides by 16.

    For products of bytes, four inputs of a row stand together, and weights are counted from -128:
    the processor multiplies signed bytes by unsigned ones.
    """
    rows, width = packed.shape[-2:]
    together = 4 if INT8_INPUTS else 1
    split = packed.reshape(*packed.shape[:-2], rows // LANES, LANES, width // together, together)
    blocks = np.ascontiguousarray(np.swapaxes(split, -2, -3))
    return _offset_binary(blocks).reshape(*packed.shape[:-2], rows // LANES, width, LANES)


def tiled_factor(factor: Float32Array) -> Factor:
    """(out, in) of an adapter on one layer -> (out / 16, in, 16); `out` divides by 16."""
    rows, width = factor.shape
    split = factor.reshape(rows // LANES, LANES, width).swapaxes(-1, -2)
    if HALF_FACTORS:
        return np.ascontiguousarray(split, np.float16)
    return np.ascontiguousarray(split, np.float32)


def untiled_rows(packed: Int8Array, rows: NDArray[np.int64]) -> Int8Array:
    """(rows, in) of tiled weights (out / 16, in, 16)."""
    together = 4 if INT8_INPUTS else 1
    split = packed.reshape(len(packed), -1, LANES, together)[rows // LANES, :, rows % LANES]
    return _offset_binary(split.reshape(len(rows), -1))


def _offset_binary(packed: Int8Array) -> Int8Array:
    return packed ^ np.int8(-128) if INT8_INPUTS else packed
