"""Whether a mean of paired differences is above a bound, however often the rows are looked at.

A fixed-sample test (McNemar, a bootstrap) is wrong far more often than it says when it is asked
every day until it agrees. Here a bettor's wealth is the evidence: it starts at 1, and while the
mean is not above the bound no betting multiplies it on average. So the chance that it ever reaches
1/alpha is at most alpha, however often one looks and whenever one stops (Ville 1939).

The bets are those of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (JRSS B 86, 2024), a fixed mixture over how boldly one bets, which asks for no tuning and
gives the same number in whatever order the rows of one look stand. For right and wrong answers and
the bound 0 only rows count on which the two differ, as in McNemar's test: there it is the mixture
over the binomial's share that Robbins (1970) named.

The rows must not have shaped what is judged: rows that it was trained on prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[Any]
Answer = Literal["better", "not better", "not enough evidence"]
LOW, HIGH = -1.0, 1.0  # of a difference between two scores from 0 to 1
# Shares of its wealth that the bettor puts on a row. The least tells a difference of a hundredth
# from none within some thousand rows; twelve cost no more than ln 12 of evidence.
STAKES = np.geomspace(1 / 32, 1, 12)
MOST_ROWS = 1_000_000  # more are not promised
PRECISION = 1e-4  # of the bounds of a mean


@dataclass(frozen=True)
class Evidence:
    """What paired differences say of their mean at one look.

    Attributes:
        answer: whether the mean is above `bound`.
        mean: of the differences.
        low, high: each holds at every look with a confidence of 1 - alpha (a confidence sequence).
        rows: differences that it rests on.
        alpha: largest chance, over all looks, that `better` is wrong; and that `not better` is.
        more_rows: about how many decide, if they are like these; 0 where it is decided.
    """

    answer: Answer
    mean: float
    low: float
    high: float
    rows: int
    alpha: float
    more_rows: int


def judge(
    differences: Sequence[float] | Array,
    alpha: float,
    bound: float = 0.0,
    least: float | None = None,
) -> Evidence:
    """Say whether the mean difference is above a bound.

    Args:
        differences: second minus first of each row, from -1 to 1, of all rows that there are.
        alpha: see `Evidence`.
        bound: `better` is a mean above it: 0 for a gain, minus a margin for no harm.
        least: `not better` is a mean below it, the smallest gain worth having; `bound` by default.

    Raises:
        ValueError: a difference is not from -1 to 1, or `least` lies under `bound`.
    """
    least = bound if least is None else least
    values = np.asarray(differences, dtype=float)
    if values.size and not (values.min() >= LOW and values.max() <= HIGH):
        raise ValueError("differences lie between -1 and 1")
    if least < bound:
        raise ValueError(f"the least gain {least} lies under the bound {bound}")
    enough = math.log(1 / alpha)
    above, below = log_evidence(values, bound), log_evidence(-values, -least)
    answer: Answer = "not enough evidence"
    if above >= enough:
        answer = "better"
    elif below >= enough:
        answer = "not better"
    wanted = 0
    if answer == "not enough evidence":
        wanted = min(_rows_wanted(values, bound, enough), _rows_wanted(-values, -least, enough))
    return Evidence(
        answer=answer,
        mean=float(values.mean()) if values.size else 0.0,
        low=_lower_bound(values, enough),
        high=-_lower_bound(-values, enough),
        rows=len(values),
        alpha=alpha,
        more_rows=wanted,
    )


def log_evidence(differences: Array, bound: float) -> float:
    """Natural logarithm of the evidence (an e-value) against a mean of at most `bound`.

    Args:
        differences: (rows,) from -1 to 1.
    """
    return _mixture(_growth(differences, bound).sum(axis=0))


def log_evidence_at_looks(differences: Array, bound: float, looks: Array) -> Array:
    """The same at several looks, (looks,), each at so many of the rows, from the first on."""
    grown = _growth(differences, bound).cumsum(axis=0)[looks - 1]
    found: Array = logsumexp(grown, axis=1) - math.log(len(STAKES))
    return found


def spent(alpha: float, candidate: int) -> float:
    """What of alpha the n-th candidate judged on the same rows may use: alpha / (n (n + 1)).

    All candidates together spend no more than alpha, however many there will be (alpha spending:
    Tian and Ramdas, "Online control of the familywise error rate", 2021). It covers candidates
    that were made without looking at how their forerunners answered these very rows.

    Args:
        candidate: 1 for the first.
    """
    return alpha / (candidate * (candidate + 1))


def _growth(differences: Array, bound: float) -> Array:
    """(rows, stakes) what each row adds to the logarithm of the wealth of each stake."""
    with np.errstate(divide="ignore"):  # a stake of everything can be lost
        ratio = (differences - LOW) / (bound - LOW)
        added: Array = np.log(1 - STAKES + STAKES * ratio[:, None])
    return added


def _mixture(log_wealth: Array) -> float:
    """Of a starting capital of 1 that is shared out evenly over the stakes."""
    return float(logsumexp(log_wealth) - math.log(len(STAKES)))


def _lower_bound(differences: Array, enough: float) -> float:
    """The largest bound that the mean is shown to be above; LOW where none is."""
    low, high = LOW, HIGH
    while high - low > PRECISION:  # the evidence falls as the bound rises
        middle = (low + high) / 2
        shown = log_evidence(differences, middle) >= enough
        low, high = (middle, high) if shown else (low, middle)
    return low


def _rows_wanted(differences: Array, bound: float, enough: float) -> int:
    """How many more rows like these it takes until their mean is shown to be above the bound.

    Few rows look more alike than they are. So a row of no difference is added, and half a row each
    with the largest difference seen, in either direction (after Agresti and Min, "Simple improved
    confidence intervals for comparing matched proportions", 2005).
    """
    largest = np.abs(differences).max(initial=0.0)
    weights = np.array([1.0] * len(differences) + [1.0, 0.5, 0.5])
    growth = _growth(np.append(differences, [0.0, largest, -largest]), bound)
    a_row = weights @ np.maximum(growth, -1e3) / weights.sum()
    have, now = len(differences), _growth(differences, bound).sum(axis=0)
    low, high = 0, MOST_ROWS
    if _mixture(now + high * a_row) < enough:
        return MOST_ROWS
    while high - low > 1:
        middle = (low + high) // 2
        if _mixture(now + middle * a_row) >= enough:
            high = middle
        else:
            low = middle
    return _rounded(high) if have else MOST_ROWS


def _rounded(rows: int) -> int:
    """Two digits, upwards: it is an estimate."""
    unit: int = 10 ** max(0, len(str(rows)) - 2)
    return -(-rows // unit) * unit
