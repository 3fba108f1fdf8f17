"""Bootstrap intervals and paired tests for figures that are functions of sums over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Array = NDArray[Any]
Better = Literal["higher", "lower", "neither"]
RESAMPLES = 1000
LEVEL = 0.95
CELLS = 20_000_000  # cells of the weight matrix held at one time: 160 MB


@dataclass(frozen=True)
class Statistic:
    """A figure that depends on the rows through sums only, so that a resample is one product.

    Attributes:
        name: what it is called in records.
        parts: (rows, k) what each row adds.
        value: (resamples, k) sums -> (resamples,) figures; nan where undefined.
        better: which direction is good.
    """

    name: str
    parts: Array
    value: Callable[[Array], Array]
    better: Better = "higher"

    def over_all(self) -> float:
        """The figure over all rows."""
        return float(self.value(self.parts.sum(axis=0, keepdims=True))[0])

    def each(self) -> Array:
        """(rows,) the figure of each row alone."""
        figures: Array = self.value(self.parts)
        return figures

    def of(self, chosen: Sequence[int]) -> Statistic:
        """The same figure over some of the rows, by index."""
        return Statistic(self.name, self.parts[list(chosen)], self.value, self.better)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval and the number of rows it rests on."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Difference:
    """Second minus first over the same rows, its 95% interval, and a two-sided p-value."""

    value: float
    low: float
    high: float
    p: float
    rows: int


def mean(name: str, values: Sequence[float], better: Better = "higher") -> Statistic:
    """The mean over rows; rows whose value is nan do not count."""
    given = np.asarray(values, dtype=float)
    counted = ~np.isnan(given)
    return Statistic(name, np.column_stack([np.where(counted, given, 0.0), counted]), ratio, better)


def ratio(sums: Array) -> Array:
    """First sum over the second; nan where the second is 0. Shape (n, 2) -> (n,)."""
    top, bottom = sums[:, 0].astype(float), sums[:, 1].astype(float)
    nothing = np.full_like(top, np.nan)
    shares: Array = np.divide(top, bottom, out=nothing, where=bottom != 0)
    return shares


def interval(statistic: Statistic, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The figure and its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13)."""
    rows = len(statistic.parts)
    drawn = [
        statistic.value(weights @ statistic.parts) for weights in _weights(rows, resamples, seed)
    ]
    low, high = _middle(np.concatenate(drawn))
    return Interval(statistic.over_all(), low, high, rows)


def paired(
    first: Statistic, second: Statistic, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Second minus first, both drawn on the same rows in every resample.

    The p-value is the share of resamples whose difference, moved so that its mean is zero, is at
    least as far from zero as the one found (Koehn 2004; Riezler and Maxwell 2005), with one added
    to both counts so that it is never zero.

    Raises:
        ValueError: the numbers of rows differ.
    """
    rows = len(first.parts)
    if rows != len(second.parts):
        raise ValueError(f"{rows} rows against {len(second.parts)}")
    difference = second.over_all() - first.over_all()
    drawn = np.concatenate(
        [
            second.value(weights @ second.parts) - first.value(weights @ first.parts)
            for weights in _weights(rows, resamples, seed)
        ]
    )
    low, high = _middle(drawn)
    defined = drawn[~np.isnan(drawn)]
    # Rounding must not decide between two resamples that are alike.
    far = np.abs(defined - defined.mean()) >= abs(difference) - 1e-12 if len(defined) else defined
    return Difference(difference, low, high, float((far.sum() + 1) / (len(defined) + 1)), rows)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided p-value that two sets of right and wrong answers are equally often right.

    Only rows on which they differ count; under the null each goes either way like a fair coin
    (McNemar 1947, in its exact binomial form).
    """
    gained = sum(not a and b for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def _weights(rows: int, resamples: int, seed: int) -> Iterator[Array]:
    """How often each row is drawn in each resample, (some, rows) at a time."""
    rng = np.random.default_rng(seed)
    chunk = max(1, min(resamples, CELLS // max(rows, 1)))
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        drawn = rng.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * rows)
        yield counts.reshape(count, rows).astype(float)


def _middle(drawn: Array) -> tuple[float, float]:
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)
