"""The inside of a product: some inputs and some blocks of weights, as LLVM's own code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from engine.kernels.compiler import processor
from engine.kernels.layout import LANES, QUANT_GROUP

F32, I64, I32, I8 = ir.FloatType(), ir.IntType(64), ir.IntType(32), ir.IntType(8)
F32X16, I32X16 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
ZERO_F32X16 = ir.Constant(F32X16, [0.0] * LANES)
F16X16 = ir.VectorType(ir.HalfType(), LANES)
I8X16, I8X64 = ir.VectorType(I8, LANES), ir.VectorType(I8, 4 * LANES)
# Bytes of a block that are fetched ahead where several inputs meet it, if any. What they compute
# leaves a Zen 5 too little room to look ahead by itself: 1,024 and 4,096 gain less, and one input
# loses. A Zen 4 loses with each; nothing else was measured.
AHEAD = 2048 if processor() == "znver5" else 0
ZERO, ZERO_I32X16 = ir.Constant(I64, 0), ir.Constant(I32X16, [0] * LANES)


class Tile(NamedTuple):
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

    def __init__(self, builder: Any, form: Tile, arguments: Any) -> None:
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

    def prefetch(self, kind: Any, places: Sequence[Sequence[tuple[Any, Any]]]) -> None:
        """Have weights brought near that stand `AHEAD` of these; past the end is no fault."""
        byte = I8.as_pointer()
        signature = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        fetch = get_or_insert_function(self.builder.module, signature, "llvm.prefetch.p0i8")
        to_read, nearest, data = (ir.Constant(I32, code) for code in (0, 3, 1))
        for place in places:
            at = self.builder.bitcast(self.pointer(self.weight, kind, *place), byte)
            ahead = self.builder.gep(at, [ir.Constant(I64, AHEAD)])
            self.builder.call(fetch, [ahead, to_read, nearest, data])

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
        places = [((self.stride, LANES * block), (i, LANES)) for block in self.blocks]
        columns = [self.load(self.weight, stored, *place) for place in places]
        if AHEAD and self.kind == "halves":  # an adapter's streams are short, and few at one time
            self.prefetch(stored, places)
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
            step = (i, QUANT_GROUP * LANES), (four, LANES)
            places = [((self.stride, LANES * block), *step) for block in self.blocks]
            columns = [self.load(self.weight, I8X64, *place) for place in places]
            if AHEAD and self.form.inputs > 1:
                self.prefetch(I8X64, places)
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


def compiled_tile(form: Tile) -> Any:
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
