"""Whether numbers have another distribution than they had, asked again and again.

Two-sample Kolmogorov-Smirnov tests of the latest numbers against a reference. The n-th look may
err with a chance of ALPHA / (n (n + 1)) at most, shared out over the features and windows (alpha
spending: Lan and DeMets 1983; by Bonferroni it needs no independence). So the chance of any false
alarm is at most ALPHA, however long a stream without drift lasts. Requests that come in bursts of
one kind are drift to it.

p <= 2 exp(-2 D² n m / (n + m)) is the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart for
two samples, which Wei and Dudley (2012) checked for sizes to 200 by computer and conjecture for
all that differ. Ties make it err less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHA = 1e-4
WINDOWS = (75, 150, 300)  # latest numbers: few tell large drift soon, many tell small drift
REFERENCE = 500  # first numbers, where nothing else is the reference
LEAST_REFERENCE = 100

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Drift:
    """How far the latest numbers of one feature are from the reference.

    Attributes:
        distance: largest distance of the two cumulative distributions, 0 to 1.
        bound: what it may be by chance, at this look.
        window: latest numbers looked at.
    """

    feature: str
    distance: float
    bound: float
    window: int

    @property
    def found(self) -> bool:
        """Whether chance does not explain it."""
        return self.distance > self.bound


def look(
    feature: str, reference: Numbers, latest: Sequence[float] | Numbers, number: int, tests: int
) -> Drift | None:
    """Look at one feature: the window where it is farthest beyond its bound.

    Args:
        reference: sorted numbers.
        latest: numbers since the reference, oldest first, at least the last `WINDOWS[-1]` of them.
        number: of this look at the stream, 1 for the first.
        tests: features times windows that are looked at each time.

    Returns:
        None where there are too few numbers.
    """
    numbers = np.asarray(latest, dtype=float)
    if len(reference) < LEAST_REFERENCE or len(numbers) < WINDOWS[0]:
        return None
    drifts = [
        Drift(
            feature,
            distance(reference, numbers[-size:]),
            bound(number, len(reference), size, tests),
            size,
        )
        for size in WINDOWS
        if size <= len(numbers)
    ]
    return max(drifts, key=lambda one: one.distance - one.bound)


def distance(reference: Numbers, numbers: Numbers) -> float:
    """The Kolmogorov-Smirnov distance of two samples; the first is sorted."""
    ordered = np.sort(numbers)
    at = np.concatenate([reference, ordered])
    one = np.searchsorted(reference, at, side="right") / len(reference)
    two = np.searchsorted(ordered, at, side="right") / len(ordered)
    return float(np.abs(one - two).max())


def bound(number: int, reference: int, window: int, tests: int) -> float:
    """What the distance may be by chance at the n-th look, one of so many tests at each.

    Args:
        number: of the look, 1 for the first.
        reference, window: sizes of the two samples.
    """
    alpha = ALPHA / (number * (number + 1)) / tests
    return math.sqrt(math.log(2 / alpha) / 2 * (1 / reference + 1 / window))
