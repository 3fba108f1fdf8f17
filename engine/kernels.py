"""A token of each of some texts through a Llama-like decoder, as one compiled function on one core.

A transformers forward pass for one token spends most of its time between its products: some 900
operators at a few microseconds each. Here the whole pass is one function, compiled by numba for the
processor it runs on. The products convert 8-bit weights to float32 on the way through the
registers, so that a weight is read from memory once, as one byte, and nothing else is rounded.

Sixteen rows of weights lie side by side, as `tiled` lays them, in the lanes of a register, and meet
up to four texts of the batch while they are there. Each text has its own adapter, and is summed in
the same order whoever else is in the batch, so it gets the same numbers as alone. It runs without
Python's lock: a batch on each core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from llvmlite import binding, ir
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.int8]
Function = TypeVar("Function", bound=Callable[..., Any])

LANES = 16  # rows of weights side by side
NEAR = 12  # blocks of 16 rows that stay in the second cache while every text meets them
# How many blocks' sums stand in registers, for so many texts: AVX-512 has 32 of 16 floats, AVX2 16
# of 8.
BLOCKS = {1: 4, 2: 2, 3: 2, 4: 1}
if binding.get_host_cpu_features().get("avx512f"):
    BLOCKS = {1: 12, 2: 6, 3: 6, 4: 6}


def _compiled(function: Function) -> Function:
    """Compiled once for this processor; the machine code is kept on disk beside the source."""
    make = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, make(function))


def _inner(function: Function) -> Function:
    """Compiled as a part of what calls it, whose machine code is kept."""
    return cast(Function, njit(nogil=True, fastmath=True, error_model="numpy")(function))


class Weights(NamedTuple):
    """A base's weights; L layers, H hidden, I inner, Q and K widths of queries and of keys.

    The int8 ones are `tiled`: what stands here as (out, in) is (out / 16, in, 16).
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


# What `step` is told of a text, in int64: how many tokens it has read, how many there is room for,
# the rank of its adapter, and the addresses of its keys, its values and the adapter's arrays.
READ, ROOM, RANK_OF, KEYS, VALUES, FACTORS = 0, 1, 2, 3, 4, 5


def row(keys: Floats, values: Floats, read: int, patch: Patch) -> list[int]:
    """A text's line of `step`'s table.

    Args:
        keys: (L, key heads, positions, head width); `values` alike. They and the patch must live
            until the step is done.
        read: positions that are filled.
        patch: its adapter.
    """
    arrays = [keys, values, *patch]
    addresses = [array.ctypes.data for array in arrays]
    return [read, keys.shape[2], patch.qkv_b.shape[1], *addresses]


def _at(typing: Any, address: Any) -> Any:
    """An address as a pointer to float32, as numba generates it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


_pointer: Any = intrinsic(_at)


@_compiled
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


def tiled(packed: Bytes) -> Bytes:
    """(..., out, in) -> (..., out / 16, in, 16): sixteen rows side by side; `out` divides by 16."""
    rows, width = packed.shape[-2:]
    split = packed.reshape(*packed.shape[:-2], rows // LANES, LANES, width)
    return np.ascontiguousarray(np.swapaxes(split, -1, -2))


def untiled(packed: Bytes) -> Bytes:
    """What `tiled` was given."""
    blocks, width, lanes = packed.shape[-3:]
    rows = np.swapaxes(packed, -1, -2)
    return rows.reshape(*packed.shape[:-3], blocks * lanes, width)


def _tile(texts: int, blocks: int) -> Any:
    """The products of `texts` inputs and 16 * `blocks` rows of tiled weights, as LLVM's own code.

    Every sum has a lane of a register, and goes through the inputs in their order. Numba's loops
    would keep the sums in memory, which costs more than the sums.
    """
    single, many = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES)
    whole, byte = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)
    long = ir.IntType(64)
    nowhere = ir.Constant(many, ir.Undefined)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weight, scale, x, y, width, out = arguments

        def at(base: Any, kind: Any, *terms: Any) -> Any:
            """The address `base` + the sum of products, in elements, as a pointer to `kind`."""
            element = kind.element if isinstance(kind, ir.VectorType) else kind
            offset = ir.Constant(long, 0)
            for a, b in terms:
                times = ir.Constant(long, b) if isinstance(b, int) else b
                offset = builder.add(offset, builder.mul(a, times))
            moved = builder.gep(builder.inttoptr(base, element.as_pointer()), [offset])
            return builder.bitcast(moved, kind.as_pointer())

        multiply_add = get_or_insert_function(
            builder.module, ir.FunctionType(many, [many] * 3), f"llvm.fma.v{LANES}f32"
        )
        before = builder.block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(long)
        sums = [[builder.phi(many) for _ in range(blocks)] for _ in range(texts)]
        floats = []
        for block in range(blocks):
            place = at(weight, byte, (width, LANES * block), (i, LANES))
            small = builder.load(place, align=1)
            floats.append(builder.sitofp(builder.sext(small, whole), many))
        grown = []
        for text in range(texts):
            value = builder.load(at(x, single, (width, text), (i, 1)), align=4)
            first = builder.insert_element(nowhere, value, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(first, nowhere, ir.Constant(whole, [0] * LANES))
            rows = zip(floats, sums[text], strict=True)
            grown.append([builder.call(multiply_add, [w, spread, total]) for w, total in rows])
        following = builder.add(i, ir.Constant(long, 1))
        for phi, start, new in [
            (i, ir.Constant(long, 0), following),
            *(
                (total, ir.Constant(many, [0.0] * LANES), new)
                for totals, news in zip(sums, grown, strict=True)
                for total, new in zip(totals, news, strict=True)
            ),
        ]:
            phi.add_incoming(start, before)
            phi.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, width), loop, done)
        builder.position_at_end(done)
        one = ir.Constant(long, LANES)
        for block in range(blocks):
            scales = builder.load(at(scale, many, (one, block)), align=4)
            for text in range(texts):
                place = at(y, many, (out, text), (one, block))
                builder.store(builder.fmul(grown[text][block], scales), place, align=4)
        return context.get_dummy_value()

    def typing(typing: Any, weight: Any, scale: Any, x: Any, y: Any, width: Any, out: Any) -> Any:
        return types.void(*[types.int64] * 6), generate

    return intrinsic(typing)


def _sweep(texts: int) -> Any:
    """Some rows of tiled weights and `texts` inputs."""
    many = BLOCKS[texts]
    tile, last = _tile(texts, many), _tile(texts, 1)

    @_inner
    def sweep(weight: Bytes, scale: Floats, x: Floats, y: Floats) -> None:
        blocks, width, _ = weight.shape
        whole, out = blocks - blocks % many, y.strides[0] // 4
        w, s, a, b = weight.ctypes.data, scale.ctypes.data, x.ctypes.data, y.ctypes.data
        for o in range(0, whole, many):
            r = o * LANES
            tile(w + r * width, s + 4 * r, a, b + 4 * r, width, out)
        for o in range(whole, blocks):
            r = o * LANES
            last(w + r * width, s + 4 * r, a, b + 4 * r, width, out)

    return sweep


_one, _two, _three, _four = (_sweep(texts) for texts in BLOCKS)


@_compiled
def _product(weight: Bytes, scale: Floats, x: Floats, y: Floats) -> None:
    """y = scale * (x weight^T). weight: tiled (out, in); x: (texts, in); y: (texts, out)."""
    texts, blocks = x.shape[0], weight.shape[0]
    fours = texts - texts % 4
    for begin in range(0, blocks, NEAR):
        end = min(begin + NEAR, blocks)
        w, rows = weight[begin:end], slice(begin * LANES, end * LANES)
        s = scale[rows]
        for t in range(0, fours, 4):
            _four(w, s, x[t : t + 4], y[t : t + 4, rows])
        if texts - fours == 1:
            _one(w, s, x[fours:], y[fours:, rows])
        elif texts - fours == 2:
            _two(w, s, x[fours:], y[fours:, rows])
        elif texts - fours == 3:
            _three(w, s, x[fours:], y[fours:, rows])


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
def _patch(
    at: Any,
    group: int,
    layer: int,
    layers: int,
    parts: int,
    rank: int,
    width: int,
    edges: Any,
    x: Floats,
    y: Floats,
) -> None:
    """Add a text's adapter to one group of one layer; `at` has the addresses of its arrays."""
    if rank > 0:
        a = carray(_pointer(at[2 * group]), (layers, parts, rank, width))
        b = carray(_pointer(at[2 * group + 1]), (layers, rank, edges[parts]))
        _adapt(a[layer], b[layer], edges, x, y)


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
def _mix(
    row: Any, layer: int, layers: int, key_heads: int, width: int, qkv: Floats, y: Floats
) -> None:
    """Put a token's keys and values into its text's arrays, and attend to all of them.

    Args:
        row: the text's line of the table.
        qkv: (Q + 2K,) its query, key and value, rotated.
        y: (Q,) gets the mixed values.
    """
    position, shape = row[READ], (layers, key_heads, row[ROOM], width)
    keys = carray(_pointer(row[KEYS]), shape)
    values = carray(_pointer(row[VALUES]), shape)
    wide, narrow = y.shape[0], key_heads * width
    for h in range(key_heads):
        begin = wide + h * width
        keys[layer, h, position] = qkv[begin : begin + width]
        values[layer, h, position] = qkv[begin + narrow : begin + narrow + width]
    group = wide // narrow
    for h in range(wide // width):
        part, of = slice(h * width, (h + 1) * width), h // group
        _attend(qkv[part], keys[layer, of], values[layer, of], position + 1, y[part])


@_compiled
def project(x: Floats, head: Bytes, scale: Floats) -> Floats:
    """(texts, H) -> (texts, vocabulary) logits. head: tiled."""
    logits = np.empty((x.shape[0], head.shape[0] * LANES), np.float32)
    _product(head, scale, x, logits)
    return logits


@_compiled
def step(x: Floats, table: Any, key_heads: int, weights: Weights) -> Floats:
    """Read one token of each text on top of what was read of it.

    Args:
        x: (texts, H) the tokens' embeddings; changed.
        table: (texts, columns) int64, a `row` for each; the keys and values of the tokens are
            written into the arrays that it names.
        key_heads: heads of keys and of values.
        weights: the base.

    Returns:
        (texts, vocabulary) logits of the next tokens.
    """
    layers, blocks, wide, _ = weights.out.shape
    hidden, inner = blocks * LANES, weights.down.shape[2]
    narrow = (weights.qkv_scale.shape[1] - wide) // 2
    width = narrow // key_heads
    heads = wide // width
    texts = x.shape[0]
    qkv_edges = (0, wide, wide + narrow, wide + 2 * narrow)
    one, two = (0, hidden), (0, inner, 2 * inner)
    normed, grown = np.empty((texts, hidden), np.float32), np.empty((texts, hidden), np.float32)
    qkv, mixed = np.empty((texts, qkv_edges[3]), np.float32), np.empty((texts, wide), np.float32)
    gates, gated = np.empty((texts, 2 * inner), np.float32), np.empty((texts, inner), np.float32)
    for layer in range(layers):
        for t in range(texts):
            _norm(x[t], weights.before[layer], weights.epsilon, normed[t])
        _product(weights.qkv[layer], weights.qkv_scale[layer], normed, qkv)
        for t in range(texts):
            if weights.qkv_bias.shape[0]:
                qkv[t] += weights.qkv_bias[layer]
            rank, at = table[t, RANK_OF], table[t, FACTORS:]
            _patch(at, 0, layer, layers, 3, rank, hidden, qkv_edges, normed[t], qkv[t])
            for h in range(heads + key_heads):
                head = qkv[t, h * width : (h + 1) * width]
                if weights.query_norm.shape[0]:
                    norm = weights.query_norm[layer] if h < heads else weights.key_norm[layer]
                    _norm(head, norm, weights.epsilon, head)
                _rotate(head, weights.cos[table[t, READ]], weights.sin[table[t, READ]])
            _mix(table[t], layer, layers, key_heads, width, qkv[t], mixed[t])
        _product(weights.out[layer], weights.out_scale[layer], mixed, grown)
        for t in range(texts):
            rank, at = table[t, RANK_OF], table[t, FACTORS:]
            _patch(at, 1, layer, layers, 1, rank, wide, one, mixed[t], grown[t])
            x[t] += grown[t]
            _norm(x[t], weights.between[layer], weights.epsilon, normed[t])
        _product(weights.gate_up[layer], weights.gate_up_scale[layer], normed, gates)
        for t in range(texts):
            rank, at = table[t, RANK_OF], table[t, FACTORS:]
            _patch(at, 2, layer, layers, 2, rank, hidden, two, normed[t], gates[t])
            for i in range(inner):
                gate = gates[t, i]
                gated[t, i] = gate / (np.float32(1) + np.exp(-gate)) * gates[t, inner + i]
        _product(weights.down[layer], weights.down_scale[layer], gated, grown)
        for t in range(texts):
            rank, at = table[t, RANK_OF], table[t, FACTORS:]
            _patch(at, 3, layer, layers, 1, rank, inner, one, gated[t], grown[t])
            x[t] += grown[t]
    for t in range(texts):
        _norm(x[t], weights.end, weights.epsilon, normed[t])
    return project(normed, weights.head, weights.head_scale)
