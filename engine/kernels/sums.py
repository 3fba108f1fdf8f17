"""Sums over vectors of floats: of products, and of exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from engine.kernels.compiler import any_order, inlined
from engine.kernels.layout import Float32Array


def _generate_power_of_two(typing: Any, power: Any) -> Any:
    """2 to a whole power, int32 from -126 to 127, as the bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        exponent = builder.add(arguments[0], ir.Constant(word, 127))
        return builder.bitcast(builder.shl(exponent, ir.Constant(word, 23)), ir.FloatType())

    return types.float32(types.int32), generate


_power_of_two: Any = intrinsic(_generate_power_of_two)


@any_order
def dot(a: Any, b: Any) -> Any:
    """The product of two vectors."""
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@inlined
def exp(x: Any) -> Any:
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


# Loops begin at 0: of another index numba asks whether it is below, and no vector comes of that.


@any_order
def exp_sum(scores: Float32Array, top: Any) -> Any:
    """e to the power of scores less `top`, in their place, and the sum of these."""
    total = np.float32(0)
    for t in range(scores.shape[0]):
        scores[t] = exp(scores[t] - top)
        total += scores[t]
    return total


@inlined
def highest(values: Float32Array, least: Any) -> Any:
    """The highest of some values and `least`: eight at a time, because LLVM takes one."""
    a = b = c = d = e = f = g = h = least
    eights = values.shape[0] // 8 * 8
    for t in range(0, eights, 8):
        a, b = max(a, values[t]), max(b, values[t + 1])
        c, d = max(c, values[t + 2]), max(d, values[t + 3])
        e, f = max(e, values[t + 4]), max(f, values[t + 5])
        g, h = max(g, values[t + 6]), max(h, values[t + 7])
    for t in range(eights, values.shape[0]):
        a = max(a, values[t])
    return max(a, b, c, d, e, f, g, h)
