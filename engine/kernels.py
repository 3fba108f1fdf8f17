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

A layer has four phases: `_project_qkv`, attention (`_decode_attention` or `_prefill_attention`),
`_project_output` and `_feed_forward`.

All of it is in one file because the machine code that numba keeps is made anew only when the file
of a function changes, and not when that of a function inside it does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from llvmlite import binding, ir
from numba import carray, config, njit, types  # type: ignore[attr-defined]
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int8Array = NDArray[np.int8]
Int64Array = NDArray[np.int64]
Factor = NDArray[np.float16] | Float32Array
Function = TypeVar("Function", bound=Callable[..., Any])

SILU, GELU_TANH = 0, 1
LANES = 16  # rows of weights side by side: a block
QUANT_GROUP = 32  # inputs that are rounded with one scale, where inputs are
QUERY_BLOCK = 32  # neighbours in a prompt that attend at the same time, on the same core
L2_BLOCKS = 12  # blocks of weights that stay in the second cache while every input meets them


def _features() -> set[str]:
    """What the processor has, or what numba is told to compile for."""
    told: str | None = getattr(config, "CPU_FEATURES")  # noqa: B009  numba makes it at run time
    if told is not None:
        return {name[1:] for name in told.split(",") if name.startswith("+")}
    return {name for name, has in binding.get_host_cpu_features().items() if has}


INT8_INPUTS = "avx512vnni" in _features()  # whether inputs are rounded to bytes too
LAYOUT = "bytes" if INT8_INPUTS else "floats"  # of tiled weights
# Adapters are float16 where one instruction makes float32 of them: they are as a rule saved so.
HALF_FACTORS = bool({"f16c", "neon"} & _features())
# How many blocks' sums stand in registers, for so many inputs: AVX-512 has 32 of 16 floats, AVX2 16
# of 8; a sum of bytes stands beside its float. ATTENTION_BLOCKS is for four inputs in attention. An
# adapter has few blocks: each sum is taken as LORA_CHAINS sums, which do not wait for each other.
REGISTER_BLOCKS, ATTENTION_BLOCKS = {1: 4, 2: 2, 3: 2, 4: 1}, 1
LORA_BLOCKS, LORA_CHAINS = {1: 2, 4: 1}, 2
if "avx512f" in _features():
    REGISTER_BLOCKS, ATTENTION_BLOCKS = {1: 12, 2: 6, 3: 6, 4: 6}, 4
    LORA_BLOCKS, LORA_CHAINS = {1: 4, 4: 1}, 4
if INT8_INPUTS:
    REGISTER_BLOCKS = {1: 6, 2: 4, 3: 3, 4: 3}


# Sums may be taken in another order only where they stand alone in a loop: LLVM keeps a second form
# of other loops, for arrays that lie near each other, and rounds differently there.
FASTMATH_FLAGS = {"nnan", "ninf", "nsz", "contract"}


def _compiled(function: Function) -> Function:
    """Compiled once for this processor; the machine code is kept on disk beside the source."""
    compiler = njit(cache=True, nogil=True, fastmath=FASTMATH_FLAGS, error_model="numpy")
    return cast(Function, compiler(function))


def _inlined(function: Function) -> Function:
    """Compiled as a part of what calls it, whose machine code is kept."""
    compiler = njit(nogil=True, fastmath=FASTMATH_FLAGS, error_model="numpy")
    return cast(Function, compiler(function))


def _any_order(function: Function) -> Function:
    """As `_inlined`, with a sum in any order."""
    compiler = njit(nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, compiler(function))


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


# Groups of layers that read the same input. `_add_lora` finds a group's arrays by its number.
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


def _generate_power_of_two(typing: Any, power: Any) -> Any:
    """2 to a whole power, int32 from -126 to 127, as the bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.add(arguments[0], ir.Constant(word, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.int32), generate


def _pointer_to(element: Any) -> Any:
    """An address as a pointer, as numba generates it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    def typing(typing: Any, address: Any) -> Any:
        return types.CPointer(element)(types.int64), generate

    return intrinsic(typing)


_pointer = _pointer_to(types.float32)
_power_of_two: Any = intrinsic(_generate_power_of_two)


@_any_order
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


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


F32, I64, I32, I8 = ir.FloatType(), ir.IntType(64), ir.IntType(32), ir.IntType(8)
F32X16, I32X16 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
ZERO_F32X16 = ir.Constant(F32X16, [0.0] * LANES)
F16X16 = ir.VectorType(ir.HalfType(), LANES)
I8X16, I8X64 = ir.VectorType(I8, LANES), ir.VectorType(I8, 4 * LANES)
ZERO, ZERO_I32X16 = ir.Constant(I64, 0), ir.Constant(I32X16, [0] * LANES)


class _Tile(NamedTuple):
    """What a tile is made of.

    Attributes:
        kind: "bytes" by bytes; bytes that become "floats", "halves" that do, or "plain" floats, by
            floats. The first two are scaled.
        inputs, blocks: how many meet.
        adds: scaled, to what stands in y; else that is replaced.
        chains: sums that a sum is taken as, and added up at the end; the width divides by it.
    """

    kind: str
    inputs: int
    blocks: int
    adds: bool = False
    chains: int = 1


class _TileBuilder:
    """LLVM's instructions for the inside of a tile: some inputs and some blocks of weights.

    Attributes:
        form: what it is made of.
        step: elements of an input that are taken at a time.
    """

    def __init__(self, builder: Any, form: _Tile, arguments: Any) -> None:
        self.builder, self.form, self.kind = builder, form, form.kind
        self.inputs, self.blocks = range(form.inputs), range(form.blocks)
        self.step = QUANT_GROUP if self.kind == "bytes" else 1
        self.scaled = form.adds or self.kind in {"bytes", "floats"}
        self.weight, self.stride, self.scale, self.x = arguments[:4]
        self.x_scale, self.correction, self.y, self.width, self.out = arguments[4:]
        self.steps = builder.udiv(self.width, ir.Constant(I64, self.step))
        self.multiply_add = self.instruction(f"llvm.fma.v{LANES}f32", F32X16)
        if self.kind == "bytes":
            self.dot = self.instruction("llvm.x86.avx512.vpdpbusd.512", I32X16, I8X64)

    def instruction(self, name: str, result: Any, operand: Any = None) -> Any:
        """One that adds to its first operand the product of two others, by its name."""
        signature = ir.FunctionType(result, [result, operand or result, operand or result])
        return get_or_insert_function(self.builder.module, signature, name)

    def load(self, base: Any, kind: Any, *terms: tuple[Any, Any]) -> Any:
        """What stands at the address `base` + the sum of products, which count elements."""
        return self.builder.load(self.pointer(base, kind, *terms), align=1)

    def pointer(self, base: Any, kind: Any, *terms: tuple[Any, Any]) -> Any:
        """That address as a pointer."""
        element = kind.element if isinstance(kind, ir.VectorType) else kind
        offset = ZERO
        for term in terms:
            factors = (ir.Constant(I64, f) if isinstance(f, int) else f for f in term)
            offset = self.builder.add(offset, self.builder.mul(*factors))
        moved = self.builder.gep(self.builder.inttoptr(base, element.as_pointer()), [offset])
        return self.builder.bitcast(moved, kind.as_pointer())

    def broadcast(self, value: Any) -> Any:
        """A value in all lanes."""
        undefined = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(I32X16, [0] * LANES))

    def initial_sum(self, index: int) -> Any:
        """What an input's sums begin with."""
        if self.kind != "bytes":
            return ZERO_F32X16
        return self.broadcast(self.builder.fneg(self.load(self.correction, F32, (index, 1))))

    def accumulate(self, i: Any, sums: list[list[Any]]) -> list[list[Any]]:
        """Every input's sums with the i-th step's products."""
        operands = self.int8_operands(i) if self.kind == "bytes" else self.float_operands(i)
        return [
            [
                self.builder.call(self.multiply_add, [column, value, total])
                for column, total in zip(columns, totals, strict=True)
            ]
            for (columns, value), totals in zip(operands, sums, strict=True)
        ]

    def float_operands(self, i: Any) -> list[tuple[list[Any], Any]]:
        """Of each input, the weights of its i-th element, and the element."""
        stored = {"plain": F32X16, "halves": F16X16, "floats": I8X16}[self.kind]
        columns = [
            self.load(self.weight, stored, (self.stride, LANES * block), (i, LANES))
            for block in self.blocks
        ]
        if self.kind == "floats":
            wide = [self.builder.sext(column, I32X16) for column in columns]
            columns = [self.builder.sitofp(column, F32X16) for column in wide]
        elif self.kind == "halves":
            columns = [self.builder.fpext(column, F32X16) for column in columns]
        values = [self.load(self.x, F32, (self.width, index), (i, 1)) for index in self.inputs]
        return [(columns, self.broadcast(value)) for value in values]

    def int8_operands(self, i: Any) -> list[tuple[list[Any], Any]]:
        """Of each input, the sums of products over its i-th group, and the group's scale."""
        counts = [[ZERO_I32X16 for _ in self.blocks] for _ in self.inputs]
        for four in range(0, QUANT_GROUP, 4):
            columns = [
                self.load(
                    self.weight,
                    I8X64,
                    (self.stride, LANES * block),
                    (i, QUANT_GROUP * LANES),
                    (four, LANES),
                )
                for block in self.blocks
            ]
            for index in self.inputs:
                at = self.pointer(self.x, I8, (self.width, index), (i, QUANT_GROUP), (four, 1))
                value = self.builder.load(self.builder.bitcast(at, I32.as_pointer()), align=1)
                elements = self.builder.bitcast(self.broadcast(value), I8X64)
                counts[index] = [
                    self.builder.call(self.dot, [count, column, elements])
                    for count, column in zip(counts[index], columns, strict=True)
                ]
        scales = [
            self.load(self.x_scale, F32, (self.steps, index), (i, 1)) for index in self.inputs
        ]
        return [
            ([self.builder.sitofp(count, F32X16) for count in row], self.broadcast(scale))
            for row, scale in zip(counts, scales, strict=True)
        ]

    def added(self, sums: list[list[Any]], others: list[list[Any]]) -> list[list[Any]]:
        """Of each input and block, the sum of two."""
        return [
            [self.builder.fadd(a, b) for a, b in zip(row, other, strict=True)]
            for row, other in zip(sums, others, strict=True)
        ]

    def store(self, sums: list[list[Any]]) -> None:
        """Put the sums, scaled, into y, or add them to what is there."""
        for block in self.blocks:
            scale = None
            if self.scaled:
                scale = self.load(self.scale, F32X16, (LANES, block))
            for index in self.inputs:
                value = sums[index][block]
                if scale is not None:
                    value = self.builder.fmul(value, scale)
                at = self.pointer(self.y, F32X16, (self.out, index), (LANES, block))
                if self.form.adds:
                    value = self.builder.fadd(self.builder.load(at, align=4), value)
                self.builder.store(value, at, align=4)


def _flat(sums: list[list[list[Any]]]) -> list[Any]:
    return [value for own in sums for row in own for value in row]


def _compiled_tile(form: _Tile) -> Any:
    """The products of some inputs and some blocks of tiled weights, as LLVM's own code.

    Every sum has a lane of a register, and goes through the inputs' elements in their order.
    Numba's loops would keep the sums in memory, which costs more than the sums.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code = _TileBuilder(builder, form, arguments)
        starts = [[code.initial_sum(index)] * form.blocks for index in code.inputs]
        zeros = [[ZERO_F32X16] * form.blocks for _ in code.inputs]
        before = builder.block
        loop, done = (builder.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = following = builder.phi(I64)
        begins = [starts, *[zeros] * (form.chains - 1)]
        sums = [[[builder.phi(F32X16) for _ in code.blocks] for _ in code.inputs] for _ in begins]
        following_sums = []
        for own in sums:
            following_sums.append(code.accumulate(following, own))
            following = builder.add(following, ir.Constant(I64, 1))
        phis = zip([i, *_flat(sums)], [ZERO, *_flat(begins)], strict=True)
        ends = [following, *_flat(following_sums)]
        for (phi, start), end in zip(phis, ends, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(end, loop)
        builder.cbranch(builder.icmp_signed("<", following, code.steps), loop, done)
        builder.position_at_end(done)
        code.store(reduce(code.added, following_sums))
        return context.get_dummy_value()

    def typing(
        typing: Any,
        weight: Any,
        stride: Any,
        scale: Any,
        x: Any,
        x_scale: Any,
        correction: Any,
        y: Any,
        width: Any,
        out: Any,
    ) -> Any:
        return types.void(*[types.int64] * 9), generate

    return intrinsic(typing)


def _matmul_of(inputs: int) -> Any:
    """The product of some rows of tiled weights and so many inputs."""
    many = REGISTER_BLOCKS[inputs]
    tile, last = (_compiled_tile(_Tile(LAYOUT, inputs, blocks)) for blocks in (many, 1))

    @_inlined
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


@_inlined
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


@_inlined
def _unquantized(x: Float32Array) -> tuple[Any, Float32Array, Float32Array]:
    """As they are."""
    return x, x, x[0]


_operands = _quantized if INT8_INPUTS else _unquantized


@_inlined
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


@_compiled
def matmul(weight: Int8Array, scale: Float32Array, x: Float32Array, y: Float32Array) -> None:
    """y = scale * (x weight^T). weight: tiled (out, in); x: (inputs, in); y: (inputs, out)."""
    blocks = weight.shape[0]
    a, u, v = _operands(x)
    for begin in range(0, blocks, L2_BLOCKS):
        end = min(begin + L2_BLOCKS, blocks)
        rows = slice(begin * LANES, end * LANES)
        _multiply(weight[begin:end], scale[rows], a, u, v, y[:, rows])


@_inlined
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
    return (p * f + np.float32(1)) * _power_of_two(whole)


@_any_order
def _exp_sum(scores: Float32Array, begin: int, end: int, top: Any) -> Any:
    """e to the power of some scores less `top`, in their place, and the sum of these."""
    total = np.float32(0)
    for t in range(begin, end):
        scores[t] = _exp(scores[t] - top)
        total += scores[t]
    return total


@_compiled
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
            top = tops[t]
            for r in range(own):
                top = max(top, products[t, r])
            totals[t] = totals[t] * np.exp(np.float64(tops[t] - top))
            totals[t] += _exp_sum(products[t], 0, own, top)
            tops[t] = top
    for t in range(inputs):
        y[t] = tops[t] + np.log(totals[t])


@_compiled
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


FACTOR_BYTES = 2 if HALF_FACTORS else 4


def _factor_product_of(inputs: int, adds: bool) -> Any:
    """The product of some rows of a tiled factor and so many inputs; for `adds` see `_Tile`."""
    kind, many = "halves" if HALF_FACTORS else "plain", LORA_BLOCKS[inputs]
    tile, last = (
        _compiled_tile(_Tile(kind, inputs, blocks, adds, LORA_CHAINS)) for blocks in (many, 1)
    )

    @_inlined
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

    @_inlined
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


@_compiled
def _add_lora(
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


@_compiled
def _rms_norm(x: Float32Array, weight: Float32Array, epsilon: float, y: Float32Array) -> None:
    """RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467."""
    scale = np.float32(1 / np.sqrt(_dot(x, x) / np.float32(x.shape[0]) + epsilon))
    for i in range(x.shape[0]):
        y[i] = x[i] * scale * weight[i]


@_compiled
def _apply_rotary(head: Float32Array, cos: Float32Array, sin: Float32Array) -> None:
    """Rotary position, in place. Su et al. 2021, arXiv 2104.09864."""
    half = cos.shape[0]
    for i in range(half):
        a, b = head[i], head[i + half]
        head[i] = a * cos[i] - b * sin[i]
        head[i + half] = b * cos[i] + a * sin[i]


@_compiled
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
    scores = np.empty(end, np.float32)
    scale = np.float32(1 / np.sqrt(query.shape[0]))
    top = np.float32(-3e38)
    for t in range(begin, end):
        scores[t] = _dot(query, keys[t]) * scale
        top = max(top, scores[t])
    total = _exp_sum(scores, begin, end, top)
    y[:] = 0
    for t in range(begin, end):
        share = scores[t] / total
        for i in range(y.shape[0]):
            y[i] += share * values[t, i]


@_compiled
def _decode_attention(
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
        keys, values = carray(_pointer(row[KEYS]), shape), carray(_pointer(row[VALUES]), shape)
        for h in range(key_heads * group):
            columns, of = slice(h * width, (h + 1) * width), h // group
            own_keys, own_values = keys[layer, of], values[layer, of]
            end = row[FILLED] + 1
            begin = max(0, end - window)
            _attention(qkv[t, columns], own_keys, own_values, begin, end, mixed[t, columns])


_float_tiles, _float_tile = (_compiled_tile(_Tile("plain", 4, n)) for n in (ATTENTION_BLOCKS, 1))


@_inlined
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


@_compiled
def _prefill_attention(
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
    keys = carray(_pointer(table[0, KEYS]), shape)
    values = carray(_pointer(table[0, VALUES]), shape)
    count = table[:, FILLED].max() + 1
    seen_from = np.empty((rows, 2), np.int64)  # the first in the window before and after the fork
    for r in range(rows):
        seen_from[r, 0] = min(max(0, table[r, POSITION] + 1 - window), visible[r, 0])
        seen_from[r, 1] = max(visible[r, 1], table[r, FILLED] + 1 - window)
    room = (count + LANES - 1) // LANES * LANES
    tiled_keys = np.zeros((room // LANES, width, LANES), np.float32)
    tiled_values = np.zeros((width // LANES, room, LANES), np.float32)
    queries = np.zeros((QUERY_BLOCK, width), np.float32)
    out = np.empty((QUERY_BLOCK, width), np.float32)
    scratch, totals = np.empty(QUERY_BLOCK * room, np.float32), np.empty(QUERY_BLOCK, np.float32)
    scale = np.float32(1 / np.sqrt(width))
    for of in range(key_heads):
        for t in range(_first_block(visible, seen_from, 0, rows), count):
            for i in range(width):
                tiled_keys[t // LANES, i, t % LANES] = keys[layer, of, t, i]
            for i in range(0, width, LANES):
                tiled_values[i // LANES, t] = values[layer, of, t, i : i + LANES]
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


@_inlined
def _first_block(visible: Any, seen_from: Int64Array, first: int, last: int) -> Any:
    """Where the block of positions begins that holds the first one any of some queries sees."""
    least = np.int64(2**62)
    for r in range(first, last):
        least = min(least, seen_from[r, 0] if visible[r, 0] > seen_from[r, 0] else seen_from[r, 1])
    return least // LANES * LANES


@_inlined
def _masked_exp_sum(scores: Float32Array, start: int, end: int, begin: int, own: int) -> Any:
    """e to the scores of what is seen, less the highest; 0 for the rest. Returns their sum.

    Seen are the positions from `start` to before `end`, and those from `begin` to `own`.
    """
    top = np.float32(-3e38)
    for t in range(start, end):
        top = max(top, scores[t])
    for t in range(begin, own + 1):
        top = max(top, scores[t])
    total = _exp_sum(scores, start, end, top) + _exp_sum(scores, begin, own + 1, top)
    scores[:start] = 0
    scores[end:begin] = 0
    scores[own + 1 :] = 0
    return total


@_compiled
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
    _add_lora(table, QKV, layer, edges, normed, qkv)
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
        keys, values = carray(_pointer(row[KEYS]), shape), carray(_pointer(row[VALUES]), shape)
        for h in range(key_heads):
            at_key = wide + h * width
            keys[layer, h, row[FILLED]] = qkv[t, at_key : at_key + width]
            values[layer, h, row[FILLED]] = qkv[t, at_key + narrow : at_key + narrow + width]


@_compiled
def _project_output(
    x: Float32Array, table: Any, layer: int, weights: DecoderWeights, mixed: Float32Array
) -> None:
    """Add what a layer's attention has mixed to x. x: (rows, H); mixed: (rows, Q)."""
    projected = np.empty_like(x)
    matmul(weights.out[layer], weights.out_scale[layer], mixed, projected)
    _add_lora(table, OUT, layer, np.array((0, x.shape[1])), mixed, projected)
    for t in range(x.shape[0]):
        if weights.post_attention_norm.shape[0]:
            norm = weights.post_attention_norm[layer]
            _rms_norm(projected[t], norm, weights.epsilon, projected[t])
        x[t] += projected[t]


@_compiled
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
    _add_lora(table, GATE_UP, layer, np.array((0, inner, 2 * inner)), normed, gates)
    for t in range(rows):
        for i in range(inner):
            gate = gates[t, i]
            z = gate
            if weights.activation == GELU_TANH:
                cubic = gate + np.float32(0.044715) * gate * gate * gate
                z = np.float32(1.5957691216057308) * cubic
            small = _exp(-abs(z))  # the sigmoid, from an exponent that is never above 0
            share = np.float32(1) if z > 0 else small
            gated[t, i] = gate * share / (np.float32(1) + small) * gates[t, inner + i]
    matmul(weights.down[layer], weights.down_scale[layer], gated, projected)
    _add_lora(table, DOWN, layer, np.array((0, hidden)), gated, projected)
    for t in range(rows):
        if weights.post_feed_forward_norm.shape[0]:
            norm = weights.post_feed_forward_norm[layer]
            _rms_norm(projected[t], norm, weights.epsilon, projected[t])
        x[t] += projected[t]


@_compiled
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
            _prefill_attention(
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


@_compiled
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
        _decode_attention(table, layer, layers, key_heads, width, window, qkv, mixed)
        _project_output(x, table, layer, weights, mixed)
        _feed_forward(x, table, layer, weights)
    for t in range(rows):
        _rms_norm(x[t], weights.final_norm, weights.epsilon, x[t])
