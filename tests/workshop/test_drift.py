"""Drift is found soon, and chance is not called drift however long one looks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from workshop import drift

TESTS = 5 * len(drift.WINDOWS)


def test_the_distance_is_that_of_the_two_sample_test() -> None:
    rng = np.random.default_rng(0)
    for draw in (rng.normal, lambda *shape: rng.integers(0, 5, shape[-1]) * 1.0):
        one, two = draw(0.0, 1.0, 400), draw(0.0, 1.0, 90)
        assert drift.distance(np.sort(one), two) == pytest.approx(ks_2samp(one, two).statistic)


def test_a_stream_without_drift_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        reference, stream = np.sort(rng.normal(size=500)), rng.normal(size=2000)
        for number, seen in enumerate(range(75, 2001, 25), 1):
            found = drift.look("length", reference, stream[:seen], number, TESTS)
            assert found is not None
            assert not found.found


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_drift_is_found_within_three_hundred(shift: float) -> None:
    rng = np.random.default_rng(2)
    reference = np.sort(rng.normal(size=500))
    stream = np.concatenate([rng.normal(size=1000), rng.normal(shift, 1, 300)])
    looks = [
        drift.look("length", reference, stream[:seen], number, TESTS)
        for number, seen in enumerate(range(1000, 1301, 25), 40)
    ]
    assert looks[0] is not None
    assert not looks[0].found
    assert any(one and one.found for one in looks[1:])


def test_later_looks_and_fewer_numbers_allow_more() -> None:
    assert drift.bound(1, 500, 300, TESTS) < drift.bound(100, 500, 300, TESTS)
    assert drift.bound(1, 500, 300, TESTS) < drift.bound(1, 500, 75, TESTS)
    # What the inequality allows at each bound, over the tests of a look.
    bounds = np.array([drift.bound(n, 500, 300, TESTS) for n in range(1, 10_000)])
    spent = TESTS * 2 * np.exp(-2 * bounds**2 * (500 * 300) / (500 + 300))
    assert 0.999 * drift.ALPHA < spent.sum() <= drift.ALPHA


def test_too_few_numbers_say_nothing() -> None:
    some = np.arange(99.0)
    assert drift.look("length", some, np.arange(300.0), 1, TESTS) is None
    assert drift.look("length", np.arange(500.0), some[:50], 1, TESTS) is None
