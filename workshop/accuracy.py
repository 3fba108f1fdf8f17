"""Accuracy of answers that nobody has labelled, from how probable the model finds them.

A calibrated probability of a label is the chance that it is right, so the mean over the answers
estimates their accuracy (average confidence). What calibration misses is taken off as it was on
rows whose right answers are known: accuracy there minus mean confidence there. With the rows of the
adapter's judging this is the difference of confidences (Guillory et al., "Predicting with
confidence on unseen distributions", 2021), which holds as long as confidence misleads as much as
it did there. With rows reviewed since, drawn at random from these very requests, it is
prediction-powered inference (Angelopoulos et al., "Prediction-powered inference", 2023), which
needs no such assumption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

WINDOW = 300  # latest answers that are estimated
ALPHA = 0.01  # chance, over all looks, that an interval lies under the accuracy; and over it
LEAST_REVIEWED = 30  # rows from which they are believed

Source = Literal["reviewed rows", "judged rows", "confidence alone"]


@dataclass(frozen=True)
class Gap:
    """By how much rows were right more often than their confidence says.

    Attributes:
        mean: of right (0 or 1) minus confidence.
        deviation: standard deviation of that.
    """

    rows: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, confidences: Sequence[float], right: Sequence[bool]) -> Gap:
        """From rows whose right answers are known, two at least."""
        gaps = [hit - stated for stated, hit in zip(confidences, right, strict=True)]
        return cls(len(gaps), fmean(gaps), stdev(gaps))


@dataclass(frozen=True)
class AccuracyEstimate:
    """Accuracy of the latest answers, 0 to 1.

    Attributes:
        low, high: by the normal law, valid over all looks by alpha spending.
        answers: that it is the accuracy of.
        labelled: rows with known answers that corrected it.
        source: what those are.
    """

    value: float
    low: float
    high: float
    answers: int
    labelled: int
    source: Source


def estimate(
    confidences: Sequence[float], gap: Gap | None, source: Source, look: int = 1
) -> AccuracyEstimate | None:
    """Estimate the accuracy of answers from their confidences; None for fewer than two.

    Args:
        confidences: probability of each answer, 0 to 1.
        gap: from rows with known answers; None takes the confidences at their word.
        source: what those rows are.
        look: so many times it was estimated, this one counted: a later look is wider.
    """
    if len(confidences) < 2:
        return None
    known = gap or Gap(0, 0.0, 0.0)
    variance = stdev(confidences) ** 2 / len(confidences)
    variance += known.deviation**2 / known.rows if known.rows else 0.0
    reach = NormalDist().inv_cdf(1 - ALPHA / (look * (look + 1))) * math.sqrt(variance)
    value = fmean(confidences) + known.mean
    low, middle, high = (min(1.0, max(0.0, v)) for v in (value - reach, value, value + reach))
    return AccuracyEstimate(middle, low, high, len(confidences), known.rows, source)
