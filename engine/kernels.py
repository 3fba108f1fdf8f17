"""A token of each of some texts through a Llama-like decoder, as one compiled function on one core.

A transformers forward pass for one token spends most of its time between its products: some 900
operators at a few microseconds each. Here the whole pass is one function, compiled by numba for the
processor it runs on.

Sixteen rows of 8-bit weights lie side by side, as `tiled` lays them, in the lanes of a register,
and meet up to four texts of the batch while they are there. A processor that multiplies bytes
(AVX-512 VNNI) gets the inputs as bytes too, each 32 of a text with a scale of their own; on others
a weight becomes a float32 on its way through a register, and nothing else is rounded. Each text has
its own adapter, and is summed in the same order whoever else is in the batch, so it gets the same
numbers as alone. It runs without Python's lock: a batch on each core.

All of it is in one file because the machine code that numba keeps is made anew only when the file
of a function changes, and not when that of a function inside it does.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from llvmlite import binding, ir
from numba import carray, config, njit, types  # type: ignore[attr-defined]
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.int8]
Function = TypeVar("Function", bound=Callable[..., Any])

LANES = 16  # rows of weights side by side
PART = 32  # inputs that are rounded with one scale, where inputs are
TOGETHER = 32  # neighbours in a prompt that attend at the same time, on the same core
NEAR = 12  # blocks of 16 rows that stay in the second cache while every text meets them


def _features() -> set[str]:
    """What the processor has, or what numba is told to compile for."""
    told: str | None = getattr(config, "CPU_FEATURES")  # noqa: B009  numba makes it at run time
    if told is not None:
        return {name[1:] for name in told.split(",") if name.startswith("+")}
    return {name for name, has in binding.get_host_cpu_features().items() if has}


BYTES = "avx512vnni" in _features()  # whether inputs are rounded to bytes too
LAYOUT = "bytes" if BYTES else "floats"  # of tiled weights
# How many blocks' sums stand in registers, for so many texts: AVX-512 has 32 of 16 floats, AVX2 16
# of 8; a sum of bytes stands beside its float. SQUARE is for four rows in attention.
BLOCKS, SQUARE = {1: 4, 2: 2, 3: 2, 4: 1}, 1
if "avx512f" in _features():
    BLOCKS, SQUARE = {1: 12, 2: 6, 3: 6, 4: 6}, 4
if BYTES:
    BLOCKS = {1: 6, 2: 4, 3: 3, 4: 3}


# Sums may be taken in another order only where they stand alone in a loop: LLVM keeps a second form
# of other loops, for arrays that lie near each other, and rounds differently there.
STRICT = {"nnan", "ninf", "nsz", "contract"}


def _compiled(function: Function) -> Function:
    """Compiled once for this processor; the machine code is kept on disk beside the source."""
    make = njit(cache=True, nogil=True, fastmath=STRICT, error_model="numpy")
    return cast(Function, make(function))


def _inner(function: Function) -> Function:
    """Compiled as a part of what calls it, whose machine code is kept."""
    return cast(Function, njit(nogil=True, fastmath=STRICT, error_model="numpy")(function))


def _sum(function: Function) -> Function:
    """As `_inner`, with a sum in any order."""
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


# What is told of a token to be read, in int64: how many stand in its text's arrays before it, its
# place in the text, how many there is room for, the rank of its adapter, and the addresses of the
# text's keys, its values and the adapter's arrays.
READ, PLACE, ROOM, RANK_OF, KEYS, VALUES, FACTORS = 0, 1, 2, 3, 4, 5, 6


def row(keys: Floats, values: Floats, read: int, patch: Patch) -> list[int]:
    """A token's line of the table, at the end of its text.

    Args:
        keys: (L, key heads, positions, head width); `values` alike. They and the patch must live
            until the step is done.
        read: positions that are filled.
        patch: its adapter.
    """
    arrays = [keys, values, *patch]
    addresses = [array.ctypes.data for array in arrays]
    return [read, read, keys.shape[2], patch.qkv_b.shape[1], *addresses]


def _raised(typing: Any, power: Any) -> Any:
    """2 to a whole power, int32 from -126 to 127, as the bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.add(arguments[0], ir.Constant(word, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.int32), generate


def _at(typing: Any, address: Any) -> Any:
    """An address as a pointer to float32, as numba generates it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


_pointer: Any = intrinsic(_at)
_two_to: Any = intrinsic(_raised)


@_sum
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


def tiled(packed: Bytes) -> Bytes:
    """(..., out, in) -> (..., out / 16, in, 16): sixteen rows side by side; `out` divides by 16.

    For products of bytes, four inputs of a row stand together, and weights are counted from -128:
    the processor multiplies signed bytes by unsigned ones.
    """
    rows, width = packed.shape[-2:]
    near = 4 if BYTES else 1
    split = packed.reshape(*packed.shape[:-2], rows // LANES, LANES, width // near, near)
    made = np.ascontiguousarray(np.swapaxes(split, -2, -3))
    return _offset(made).reshape(*packed.shape[:-2], rows // LANES, width, LANES)


def some_rows(packed: Bytes, rows: NDArray[np.int64]) -> Bytes:
    """(rows, in) of tiled weights (out / 16, in, 16)."""
    near = 4 if BYTES else 1
    split = packed.reshape(len(packed), -1, LANES, near)[rows // LANES, :, rows % LANES]
    return _offset(split.reshape(len(rows), -1))


def _offset(packed: Bytes) -> Bytes:
    return packed ^ np.int8(-128) if BYTES else packed


SINGLE, LONG, WORD, BYTE = ir.FloatType(), ir.IntType(64), ir.IntType(32), ir.IntType(8)
MANY, WORDS = ir.VectorType(SINGLE, LANES), ir.VectorType(WORD, LANES)
FEW_BYTES, MANY_BYTES = ir.VectorType(BYTE, LANES), ir.VectorType(BYTE, 4 * LANES)
NOUGHT, NONE_YET = ir.Constant(LONG, 0), ir.Constant(WORDS, [0] * LANES)


class _Code:
    """LLVM's instructions for the inside of a tile: `texts` inputs and `blocks` of 16 rows.

    Attributes:
        kind, texts, blocks: see `_tile`.
        step: inputs that are taken at a time.
    """

    def __init__(self, builder: Any, kind: str, texts: int, blocks: int, arguments: Any) -> None:
        self.builder, self.kind, self.texts, self.blocks = (
            builder,
            kind,
            range(texts),
            range(blocks),
        )
        self.step = PART if kind == "bytes" else 1
        self.weight, self.stride, self.scale, self.x = arguments[:4]
        self.units, self.shift, self.y, self.width, self.out = arguments[4:]
        self.steps = builder.udiv(self.width, ir.Constant(LONG, self.step))
        self.multiply_add = self.known(f"llvm.fma.v{LANES}f32", MANY)
        if kind == "bytes":
            self.dot = self.known("llvm.x86.avx512.vpdpbusd.512", WORDS, MANY_BYTES)

    def known(self, name: str, made: Any, taken: Any = None) -> Any:
        """An instruction of three operands by its name."""
        of = ir.FunctionType(made, [made, taken or made, taken or made])
        return get_or_insert_function(self.builder.module, of, name)

    def load(self, base: Any, kind: Any, *terms: tuple[Any, Any]) -> Any:
        """What stands at the address `base` + the sum of products, which count elements."""
        return self.builder.load(self.at(base, kind, *terms), align=1)

    def at(self, base: Any, kind: Any, *terms: tuple[Any, Any]) -> Any:
        """That address as a pointer."""
        element = kind.element if isinstance(kind, ir.VectorType) else kind
        offset = NOUGHT
        for term in terms:
            factors = (ir.Constant(LONG, f) if isinstance(f, int) else f for f in term)
            offset = self.builder.add(offset, self.builder.mul(*factors))
        moved = self.builder.gep(self.builder.inttoptr(base, element.as_pointer()), [offset])
        return self.builder.bitcast(moved, kind.as_pointer())

    def spread(self, value: Any) -> Any:
        """A value in all lanes."""
        nowhere = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        first = self.builder.insert_element(nowhere, value, ir.Constant(WORD, 0))
        return self.builder.shuffle_vector(first, nowhere, ir.Constant(WORDS, [0] * LANES))

    def start(self, text: int) -> Any:
        """What a text's sums begin with."""
        if self.kind != "bytes":
            return ir.Constant(MANY, [0.0] * LANES)
        return self.spread(self.builder.fneg(self.load(self.shift, SINGLE, (text, 1))))

    def grow(self, i: Any, sums: list[list[Any]]) -> list[list[Any]]:
        """Every text's sums with the i-th step's products."""
        taken = self.bytes(i) if self.kind == "bytes" else self.floats(i)
        return [
            [
                self.builder.call(self.multiply_add, [column, value, total])
                for column, total in zip(columns, totals, strict=True)
            ]
            for (columns, value), totals in zip(taken, sums, strict=True)
        ]

    def floats(self, i: Any) -> list[tuple[list[Any], Any]]:
        """Of each text, the weights of the input `i` and the input."""
        laid = MANY if self.kind == "plain" else FEW_BYTES
        columns = [
            self.load(self.weight, laid, (self.stride, LANES * block), (i, LANES))
            for block in self.blocks
        ]
        if self.kind == "floats":
            wide = [self.builder.sext(column, WORDS) for column in columns]
            columns = [self.builder.sitofp(column, MANY) for column in wide]
        values = [self.load(self.x, SINGLE, (self.width, text), (i, 1)) for text in self.texts]
        return [(columns, self.spread(value)) for value in values]

    def bytes(self, i: Any) -> list[tuple[list[Any], Any]]:
        """Of each text, the products' sums over the i-th part, and the part's unit."""
        counts = [[NONE_YET for _ in self.blocks] for _ in self.texts]
        for four in range(0, PART, 4):
            columns = [
                self.load(
                    self.weight,
                    MANY_BYTES,
                    (self.stride, LANES * block),
                    (i, PART * LANES),
                    (four, LANES),
                )
                for block in self.blocks
            ]
            for text in self.texts:
                place = self.at(self.x, BYTE, (self.width, text), (i, PART), (four, 1))
                value = self.builder.load(self.builder.bitcast(place, WORD.as_pointer()), align=1)
                inputs = self.builder.bitcast(self.spread(value), MANY_BYTES)
                counts[text] = [
                    self.builder.call(self.dot, [count, column, inputs])
                    for count, column in zip(counts[text], columns, strict=True)
                ]
        units = [self.load(self.units, SINGLE, (self.steps, text), (i, 1)) for text in self.texts]
        return [
            ([self.builder.sitofp(count, MANY) for count in row], self.spread(unit))
            for row, unit in zip(counts, units, strict=True)
        ]

    def store(self, sums: list[list[Any]]) -> None:
        """Put the sums, scaled, into y."""
        for block in self.blocks:
            scale = None
            if self.kind != "plain":
                scale = self.load(self.scale, MANY, (LANES, block))
            for text in self.texts:
                value = sums[text][block]
                if scale is not None:
                    value = self.builder.fmul(value, scale)
                place = self.at(self.y, MANY, (self.out, text), (LANES, block))
                self.builder.store(value, place, align=4)


def _tile(kind: str, texts: int, blocks: int) -> Any:
    """The products of `texts` inputs and 16 * `blocks` rows of tiled weights, as LLVM's own code.

    Every sum has a lane of a register, and goes through the inputs in their order. Numba's loops
    would keep the sums in memory, which costs more than the sums.

    Args:
        kind: "bytes" by bytes, bytes that become "floats" by floats, or "plain" floats by floats.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code = _Code(builder, kind, texts, blocks, arguments)
        starts = [[code.start(text)] * blocks for text in range(texts)]
        before = builder.block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(LONG)
        sums = [[builder.phi(MANY) for _ in range(blocks)] for _ in range(texts)]
        grown = code.grow(i, sums)
        following = builder.add(i, ir.Constant(LONG, 1))
        for phi, start, new in zip(
            [i, *chain(*sums)], [NOUGHT, *chain(*starts)], [following, *chain(*grown)], strict=True
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, code.steps), loop, done)
        builder.position_at_end(done)
        code.store(grown)
        return context.get_dummy_value()

    def typing(
        typing: Any,
        weight: Any,
        stride: Any,
        scale: Any,
        x: Any,
        units: Any,
        shift: Any,
        y: Any,
        width: Any,
        out: Any,
    ) -> Any:
        return types.void(*[types.int64] * 9), generate

    return intrinsic(typing)


def _sweep(texts: int) -> Any:
    """Some rows of tiled weights and `texts` inputs."""
    many = BLOCKS[texts]
    tile, last = _tile(LAYOUT, texts, many), _tile(LAYOUT, texts, 1)

    @_inner
    def sweep(
        weight: Bytes, scale: Floats, x: Any, units: Floats, shift: Floats, y: Floats
    ) -> None:
        blocks, width, _ = weight.shape
        whole, out = blocks - blocks % many, y.strides[0] // 4
        w, s, a, b = weight.ctypes.data, scale.ctypes.data, x.ctypes.data, y.ctypes.data
        u, v = units.ctypes.data, shift.ctypes.data
        for o in range(0, whole, many):
            r = o * LANES
            tile(w + r * width, width, s + 4 * r, a, u, v, b + 4 * r, width, out)
        for o in range(whole, blocks):
            r = o * LANES
            last(w + r * width, width, s + 4 * r, a, u, v, b + 4 * r, width, out)

    return sweep


_one, _two, _three, _four = (_sweep(texts) for texts in BLOCKS)


@_inner
def _as_bytes(x: Floats) -> tuple[Any, Floats, Floats]:
    """Round a part of 32 inputs at a time, as llama.cpp's Q8_0 does.

    Returns:
        (texts, in) int8; (texts, in / 32) what 1 stands for; (texts,) what counting the weights
        from -128 adds to every product.
    """
    texts, width = x.shape
    small = np.empty((texts, width), np.int8)
    units = np.empty((texts, width // PART), np.float32)
    shift = np.zeros(texts, np.float32)
    for t in range(texts):
        for p in range(width // PART):
            top = np.float32(1e-30)
            for i in range(p * PART, (p + 1) * PART):
                top = max(top, abs(x[t, i]))
            unit, times, count = top / np.float32(127), np.float32(127) / top, np.int32(0)
            for i in range(p * PART, (p + 1) * PART):
                value = x[t, i] * times
                half = np.float32(0.5) if value > 0 else np.float32(-0.5)
                whole = np.int32(value + half)
                small[t, i] = whole
                count += whole
            units[t, p] = unit
            shift[t] += np.float32(128) * unit * np.float32(count)
    return small, units, shift


@_inner
def _as_floats(x: Floats) -> tuple[Any, Floats, Floats]:
    """As they are."""
    return x, x, x[0]


_inputs = _as_bytes if BYTES else _as_floats


@_compiled
def product(weight: Bytes, scale: Floats, x: Floats, y: Floats) -> None:
    """y = scale * (x weight^T). weight: tiled (out, in); x: (texts, in); y: (texts, out)."""
    texts, blocks = x.shape[0], weight.shape[0]
    a, u, v = _inputs(x)
    fours = texts - texts % 4
    for begin in range(0, blocks, NEAR):
        end = min(begin + NEAR, blocks)
        w, rows = weight[begin:end], slice(begin * LANES, end * LANES)
        s = scale[rows]
        for t in range(0, fours, 4):
            _four(w, s, a[t : t + 4], u[t : t + 4], v[t : t + 4], y[t : t + 4, rows])
        if texts - fours == 1:
            _one(w, s, a[fours:], u[fours:], v[fours:], y[fours:, rows])
        elif texts - fours == 2:
            _two(w, s, a[fours:], u[fours:], v[fours:], y[fours:, rows])
        elif texts - fours == 3:
            _three(w, s, a[fours:], u[fours:], v[fours:], y[fours:, rows])


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


@_inner
def _exp(x: Any) -> Any:
    """e to the x for x up to 0, to 3e-7 of it. Loops over it become vectors, unlike np.exp's."""
    power = max(x * np.float32(1.4426950408889634), np.float32(-126))
    whole = np.int32(power - np.float32(0.5))
    f = (power - np.float32(whole)) * np.float32(0.6931471805599453)
    p = np.float32(1 / 720) * f + np.float32(1 / 120)  # Taylor's, for |f| < 0.35
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(0.5)
    p = p * f + np.float32(1)
    return (p * f + np.float32(1)) * _two_to(whole)


@_sum
def _grown(scores: Floats, begin: int, end: int, top: Any) -> Any:
    """e to the power of some scores less `top`, in their place, and the sum of these."""
    total = np.float32(0)
    for t in range(begin, end):
        scores[t] = _exp(scores[t] - top)
        total += scores[t]
    return total


@_compiled
def _attend(query: Floats, keys: Floats, values: Floats, count: int, y: Floats) -> None:
    """y = softmax(query keys / sqrt(width)) values. keys, values: (positions, width)."""
    scores = np.empty(count, np.float32)
    scale = np.float32(1 / np.sqrt(query.shape[0]))
    top = np.float32(-3e38)
    for t in range(count):
        scores[t] = _dot(query, keys[t]) * scale
        top = max(top, scores[t])
    total = _grown(scores, 0, count, top)
    y[:] = 0
    for t in range(count):
        share = scores[t] / total
        for i in range(y.shape[0]):
            y[i] += share * values[t, i]


@_compiled
def _attend_each(
    table: Any, layer: int, layers: int, key_heads: int, width: int, qkv: Floats, mixed: Floats
) -> None:
    """Every row to all that its own text has read. mixed: (rows, Q)."""
    group = mixed.shape[1] // width // key_heads
    for t in range(table.shape[0]):
        row, shape = table[t], (layers, key_heads, table[t, ROOM], width)
        keys, values = carray(_pointer(row[KEYS]), shape), carray(_pointer(row[VALUES]), shape)
        for h in range(key_heads * group):
            part, of = slice(h * width, (h + 1) * width), h // group
            known = keys[layer, of], values[layer, of]
            _attend(qkv[t, part], known[0], known[1], row[READ] + 1, mixed[t, part])


_square, _column = _tile("plain", 4, SQUARE), _tile("plain", 4, 1)


@_inner
def _plain(weight: Floats, x: Floats, y: Floats) -> None:
    """y = x weight^T. weight: float32, tiled (out, in), of which `in` are read; x: (4n, in)."""
    blocks, stride, _ = weight.shape
    rows, width = x.shape
    whole, out = blocks - blocks % SQUARE, y.shape[1]
    w, a, b = weight.ctypes.data, x.ctypes.data, y.ctypes.data
    for r in range(0, rows, 4):
        inputs, row = a + 4 * r * width, b + 4 * r * out
        for o in range(0, whole, SQUARE):
            place = 4 * o * LANES
            _square(w + place * stride, stride, 0, inputs, 0, 0, row + place, width, out)
        for o in range(whole, blocks):
            place = 4 * o * LANES
            _column(w + place * stride, stride, 0, inputs, 0, 0, row + place, width, out)


@_compiled
def _attend_all(
    table: Any,
    spans: Any,
    layer: int,
    layers: int,
    key_heads: int,
    width: int,
    qkv: Floats,
    mixed: Floats,
) -> None:
    """Rows of one text to what each of them sees of it, some rows at a time."""
    rows, group = table.shape[0], mixed.shape[1] // width // key_heads
    shape = (layers, key_heads, table[0, ROOM], width)
    keys = carray(_pointer(table[0, KEYS]), shape)
    values = carray(_pointer(table[0, VALUES]), shape)
    count = table[:, READ].max() + 1
    room = (count + LANES - 1) // LANES * LANES
    across = np.zeros((room // LANES, width, LANES), np.float32)
    along = np.zeros((width // LANES, room, LANES), np.float32)
    queries, out = np.zeros((TOGETHER, width), np.float32), np.empty((TOGETHER, width), np.float32)
    scratch, totals = np.empty(TOGETHER * room, np.float32), np.empty(TOGETHER, np.float32)
    scale = np.float32(1 / np.sqrt(width))
    for of in range(key_heads):
        for t in range(count):
            for i in range(width):
                across[t // LANES, i, t % LANES] = keys[layer, of, t, i]
            for i in range(0, width, LANES):
                along[i // LANES, t] = values[layer, of, t, i : i + LANES]
        for h in range(of * group, (of + 1) * group):
            for first in range(0, rows, TOGETHER):
                last = min(first + TOGETHER, rows)
                seen = (table[first:last, READ].max() + LANES) // LANES * LANES
                for r in range(first, last):
                    for i in range(width):
                        queries[r - first, i] = qkv[r, h * width + i] * scale
                scores = scratch[: TOGETHER * seen].reshape(TOGETHER, seen)
                _plain(across[: seen // LANES], queries, scores)
                for r in range(first, last):
                    totals[r - first] = _weigh(scores[r - first], spans[r], table[r, READ])
                _plain(along, scores, out)
                for r in range(first, last):
                    for i in range(width):
                        mixed[r, h * width + i] = out[r - first, i] / totals[r - first]


@_inner
def _weigh(scores: Floats, span: Any, own: int) -> Any:
    """e to the scores of what is seen, less the highest; 0 for the rest. Returns their sum.

    Seen are the positions before span[0], and those from span[1] to `own`.
    """
    until, begin = span[0], span[1]
    top = np.float32(-3e38)
    for t in range(until):
        top = max(top, scores[t])
    for t in range(begin, own + 1):
        top = max(top, scores[t])
    total = _grown(scores, 0, until, top) + _grown(scores, begin, own + 1, top)
    scores[until:begin] = 0
    scores[own + 1 :] = 0
    return total


@_compiled
def begin(
    x: Floats, table: Any, layer: int, key_heads: int, width: int, weights: Weights, qkv: Floats
) -> None:
    """Queries, keys and values of a layer; these two are also written into the texts' arrays.

    Args:
        x: (rows, H).
        qkv: (rows, Q + 2K) to be filled.
    """
    layers, _, wide, _ = weights.out.shape
    narrow, rows = key_heads * width, x.shape[0]
    heads, edges = wide // width, (0, wide, wide + narrow, wide + 2 * narrow)
    normed = np.empty_like(x)
    for t in range(rows):
        _norm(x[t], weights.before[layer], weights.epsilon, normed[t])
    product(weights.qkv[layer], weights.qkv_scale[layer], normed, qkv)
    for t in range(rows):
        row = table[t]
        if weights.qkv_bias.shape[0]:
            qkv[t] += weights.qkv_bias[layer]
        rank, at = row[RANK_OF], row[FACTORS:]
        _patch(at, 0, layer, layers, 3, rank, x.shape[1], edges, normed[t], qkv[t])
        for h in range(heads + key_heads):
            head = qkv[t, h * width : (h + 1) * width]
            if weights.query_norm.shape[0]:
                norm = weights.query_norm[layer] if h < heads else weights.key_norm[layer]
                _norm(head, norm, weights.epsilon, head)
            _rotate(head, weights.cos[row[PLACE]], weights.sin[row[PLACE]])
        shape = (layers, key_heads, row[ROOM], width)
        keys, values = carray(_pointer(row[KEYS]), shape), carray(_pointer(row[VALUES]), shape)
        for h in range(key_heads):
            at_key = wide + h * width
            keys[layer, h, row[READ]] = qkv[t, at_key : at_key + width]
            values[layer, h, row[READ]] = qkv[t, at_key + narrow : at_key + narrow + width]


@_compiled
def finish(x: Floats, table: Any, layer: int, weights: Weights, mixed: Floats) -> None:
    """What comes after a layer's attention, added to x. mixed: (rows, Q)."""
    layers, _, wide, _ = weights.out.shape
    rows, hidden = x.shape
    inner = weights.down.shape[2]
    one, two = (0, hidden), (0, inner, 2 * inner)
    normed, grown = np.empty_like(x), np.empty_like(x)
    gates, gated = np.empty((rows, 2 * inner), np.float32), np.empty((rows, inner), np.float32)
    product(weights.out[layer], weights.out_scale[layer], mixed, grown)
    for t in range(rows):
        rank, at = table[t, RANK_OF], table[t, FACTORS:]
        _patch(at, 1, layer, layers, 1, rank, wide, one, mixed[t], grown[t])
        x[t] += grown[t]
        _norm(x[t], weights.between[layer], weights.epsilon, normed[t])
    product(weights.gate_up[layer], weights.gate_up_scale[layer], normed, gates)
    for t in range(rows):
        rank, at = table[t, RANK_OF], table[t, FACTORS:]
        _patch(at, 2, layer, layers, 2, rank, hidden, two, normed[t], gates[t])
        for i in range(inner):
            gate = gates[t, i]
            small = _exp(-abs(gate))  # the sigmoid, from an exponent that is never above 0
            share = np.float32(1) if gate > 0 else small
            gated[t, i] = gate * share / (np.float32(1) + small) * gates[t, inner + i]
    product(weights.down[layer], weights.down_scale[layer], gated, grown)
    for t in range(rows):
        rank, at = table[t, RANK_OF], table[t, FACTORS:]
        _patch(at, 3, layer, layers, 1, rank, inner, one, gated[t], grown[t])
        x[t] += grown[t]


@_compiled
def read(
    x: Floats,
    table: Any,
    spans: Any,
    layer: int,
    key_heads: int,
    width: int,
    weights: Weights,
    qkv: Floats,
) -> None:
    """Some rows of one text from their keys in one layer to their keys in the next.

    All rows of the text must have come as far. The layer is -1 at the start.

    Args:
        x: (rows, H) the tokens' embeddings at the start; changed, and normed after the last layer.
        table: (rows, columns) int64, a `row` for each, with the same arrays.
        spans: (rows, 2) what each sees besides itself: the positions before the first number, and
            those from the second number on.
        qkv: (rows, Q + 2K), what the call for the layer before left there.
    """
    layers, _, wide, _ = weights.out.shape
    rows = x.shape[0]
    if layer >= 0:
        mixed = np.empty((rows, wide), np.float32)
        _attend_all(table, spans, layer, layers, key_heads, width, qkv, mixed)
        finish(x, table, layer, weights, mixed)
    if layer + 1 < layers:
        begin(x, table, layer + 1, key_heads, width, weights, qkv)
    else:
        for t in range(rows):
            _norm(x[t], weights.end, weights.epsilon, x[t])


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
    layers, _, wide, _ = weights.out.shape
    texts = x.shape[0]
    width = (weights.qkv_scale.shape[1] - wide) // 2 // key_heads
    qkv = np.empty((texts, weights.qkv_scale.shape[1]), np.float32)
    mixed = np.empty((texts, wide), np.float32)
    for layer in range(layers):
        begin(x, table, layer, key_heads, width, weights, qkv)
        _attend_each(table, layer, layers, key_heads, width, qkv, mixed)
        finish(x, table, layer, weights, mixed)
    for t in range(texts):
        _norm(x[t], weights.end, weights.epsilon, x[t])
    logits = np.empty((texts, weights.head.shape[0] * LANES), np.float32)
    product(weights.head, weights.head_scale, x, logits)
    return logits
