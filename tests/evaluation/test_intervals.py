"""Intervals against a known distribution; paired tests under ties, wins and no difference."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import interval, mcnemar, mean, paired


def test_ninety_five_of_a_hundred_intervals_hold_the_mean() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for i in range(400):
        estimate = interval(mean("x", rng.normal(3.0, 2.0, 80).tolist()), seed=i, resamples=300)
        held += estimate.low <= 3.0 <= estimate.high
    assert 0.91 <= held / 400 <= 0.98


def test_the_width_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 2000)
    estimate = interval(mean("x", values.tolist()))
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.1)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = mean("x", np.random.default_rng(0).random(50).tolist())
    assert interval(values, seed=3) == interval(values, seed=3) != interval(values, seed=4)


def test_rows_without_a_value_do_not_count() -> None:
    assert mean("x", [1.0, float("nan"), 3.0]).over_all() == 2.0
    nothing = interval(mean("x", [float("nan")] * 3))
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_no_difference_is_claimed_once_in_twenty() -> None:
    rng = np.random.default_rng(2)
    claimed = 0
    for i in range(400):
        common = rng.normal(size=60)
        first, second = (mean("x", (common + rng.normal(size=60)).tolist()) for _ in range(2))
        claimed += paired(first, second, seed=i, resamples=300).p < 0.05
    assert 0.02 <= claimed / 400 <= 0.09


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=300)
    estimate = paired(
        mean("x", (common + rng.normal(0.0, 0.3, 300)).tolist()),
        mean("x", (common + 0.2 + rng.normal(0.0, 0.3, 300)).tolist()),
    )
    assert estimate.low > 0
    assert estimate.value == pytest.approx(0.2, abs=0.08)
    assert estimate.p < 0.01


def test_ties_show_nothing() -> None:
    same = mean("x", [0.0, 1.0, 1.0, 0.5])
    estimate = paired(same, same)
    assert (estimate.value, estimate.low, estimate.high, estimate.p) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="4 rows against 2"):
        paired(same, mean("x", [0.0, 1.0]))


def test_mcnemar_by_hand() -> None:
    # Five rows gained and none lost: two tails of 1/32.
    assert mcnemar([False] * 5 + [True] * 9, [True] * 14) == pytest.approx(2 / 32)
    assert mcnemar([True, False], [True, False]) == 1


def test_mcnemar_claims_at_most_once_in_twenty() -> None:
    rng = np.random.default_rng(4)
    p = [mcnemar(*(rng.random((2, 80)) < 0.7).tolist()) for _ in range(600)]
    assert np.mean(np.array(p) < 0.05) <= 0.06
