"""Evidence that holds however often one looks: errors under daily looks, power, rows promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.sequential import judge, log_evidence, spent

LOOKS = range(20, 401, 20)


def pairs(rng: np.random.Generator, rows: int, gained: float, lost: float) -> np.ndarray:
    drawn = rng.random(rows)
    return np.where(drawn < gained, 1.0, np.where(drawn < gained + lost, -1.0, 0.0))


def ever(rows: np.ndarray, alpha: float, bound: float = 0.0) -> bool:
    """Whether any look says better."""
    return any(log_evidence(rows[:seen], bound) >= math.log(1 / alpha) for seen in LOOKS)


@pytest.mark.parametrize(("gained", "lost", "bound"), [(0.1, 0.1, 0.0), (0.02, 0.07, -0.05)])
def test_no_mean_over_the_bound_is_claimed_once_in_twenty(
    gained: float, lost: float, bound: float
) -> None:
    rng = np.random.default_rng(0)
    claimed = sum(ever(pairs(rng, 400, gained, lost), 0.05, bound) for _ in range(600))
    assert claimed / 600 <= 0.05


def test_written_figures_that_are_alike_are_not_told_apart() -> None:
    rng = np.random.default_rng(1)
    claimed = sum(ever(rng.uniform(-0.5, 0.5, 400), 0.05) for _ in range(600))
    assert claimed / 600 <= 0.05


def test_bounds_hold_at_all_looks_together() -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(100):
        rows = pairs(rng, 400, 0.2, 0.1)
        looks = [judge(rows[:seen], 0.05) for seen in LOOKS]
        missed += any(not look.low <= 0.1 <= look.high for look in looks)
    assert missed <= 10  # either side once in twenty


def test_a_gain_is_seen_and_a_loss_too() -> None:
    rng = np.random.default_rng(3)
    gain, loss = pairs(rng, 400, 0.25, 0.05), pairs(rng, 400, 0.05, 0.25)
    assert judge(gain, 0.05, 0.0, 0.01).answer == "better"
    assert judge(loss, 0.05, 0.0, 0.01).answer == "not better"


def test_only_rows_that_differ_count_for_right_and_wrong() -> None:
    some = [1.0] * 9 + [-1.0]
    assert log_evidence(np.array(some), 0) == pytest.approx(
        log_evidence(np.array(some + [0.0] * 500), 0)
    )


def test_the_evidence_is_fair_before_any_row_is_seen() -> None:
    """Averaged over every outcome of three fair rows it is 1: nothing is won by betting."""
    outcomes = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    assert np.mean([math.exp(log_evidence(rows, 0.0)) for rows in outcomes]) == pytest.approx(1)


def test_rows_that_are_wanted_are_about_those_it_takes() -> None:
    rng = np.random.default_rng(4)
    shares = []
    for _ in range(40):
        rows = pairs(rng, 5000, 0.15, 0.05)
        promised = 100 + judge(rows[:100], 0.05, 0.0, 0.01).more_rows
        needed = next(n for n in range(1, 5001) if log_evidence(rows[:n], 0) >= math.log(20))
        shares.append(promised / max(needed, 100))
    assert 0.7 < np.median(shares) < 3.0


@pytest.mark.parametrize("rows", [[], [0.0], [1.0], [-1.0], [0.0] * 40, [1.0] * 3])
def test_few_rows_and_rows_alike_want_more(rows: list[float]) -> None:
    evidence = judge(rows, 0.05, 0.0, 0.01)
    assert evidence.answer == "not enough evidence"
    assert evidence.more_rows > 0
    assert evidence.low <= evidence.mean <= evidence.high


def test_the_same_answers_are_not_better_after_enough_rows() -> None:
    first = judge([0.0] * 40, 0.05, 0.0, 0.01)
    then = judge([0.0] * (40 + first.more_rows), 0.05, 0.0, 0.01)
    assert then.answer == "not better"
    assert then.more_rows == 0


def test_no_more_is_spent_than_there_is() -> None:
    shares = [spent(0.05, n) for n in range(1, 10_000)]
    assert shares[0] == 0.025
    assert sum(shares) <= 0.05


def test_what_is_no_difference_of_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        judge([2.0], 0.05)
    with pytest.raises(ValueError, match="lies under"):
        judge([0.5], 0.05, 0.0, -0.1)
    with pytest.raises(ValueError, match="between -1 and 1"):
        judge([math.nan], 0.05)
