"""Accuracy without labels: that of calibrated confidence, and mended by rows that are known."""

from __future__ import annotations

import numpy as np
import pytest

from workshop.accuracy import Gap, estimate


def answers(rng: np.random.Generator, count: int, over: float = 0.0) -> tuple[list, list]:
    """Confidences, and whether each answer is right: less often by `over`."""
    stated = rng.beta(8, 2, count)
    return stated.tolist(), (rng.random(count) < stated - over).tolist()


def test_calibrated_confidence_is_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    stated, right = answers(rng, 300)
    found = estimate(stated, None, "confidence alone")
    assert found is not None
    assert found.value == pytest.approx(np.mean(right), abs=0.05)


@pytest.mark.parametrize("over", [0.0, 0.15])
def test_the_interval_holds_the_accuracy(over: float) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        gap = Gap.of(*answers(rng, 200, over))
        found = estimate(answers(rng, 300, over)[0], gap, "judged rows")
        assert found is not None
        held += found.low <= 0.8 - over <= found.high
    assert held >= 295


def test_known_overconfidence_is_taken_off() -> None:
    rng = np.random.default_rng(2)
    found = estimate(answers(rng, 300)[0], Gap.of(*answers(rng, 300, 0.2)), "reviewed rows")
    assert found is not None
    assert found.value == pytest.approx(0.6, abs=0.06)
    assert (found.labelled, found.source) == (300, "reviewed rows")


def test_few_answers_and_sure_ones_are_no_trouble() -> None:
    assert estimate([], None, "confidence alone") is None
    assert estimate([0.9], None, "confidence alone") is None
    sure = estimate([1.0, 1.0], Gap(2, 0.0, 0.0), "judged rows")
    assert sure is not None
    assert (sure.low, sure.value, sure.high) == (1, 1, 1)
