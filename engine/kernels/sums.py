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


@any_order
def exp_sum(scores: Float32Array, begin: int, end: int, top: Any) -> Any:
    """e to the power of some scores less `top`, in their place, and the sum of these."""
    total = np.float32(0)
    for t in range(begin, end):
        scores[t] = exp(scores[t] - top)
        total += scores[t]
    return total
