"""Scores of choices, against hand-computed values and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from evaluation import choice_metrics
from evaluation.choice_metrics import LabelScores
from evaluation.intervals import interval


def drawn(rows: int, labels: int, seed: int = 0, temperature: float = 1.0) -> LabelScores:
    """Scores whose softmax is the true chance of each label, times `heat`."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, labels)) * 2
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    truth = np.array([rng.choice(labels, p=row) for row in chances])
    return LabelScores([f"label {i}" for i in range(labels)], truth, scores * temperature)


def test_by_hand() -> None:
    scores = [
        {"a": math.log(0.8), "b": math.log(0.2)},
        {"a": math.log(0.6), "b": math.log(0.4)},
        {"a": math.log(0.1), "b": math.log(0.9)},
    ]
    scored = LabelScores.of(scores, ["a", "b", "b"])
    assert choice_metrics.accuracy(scored).over_all() == pytest.approx(2 / 3)
    # a: one hit, chosen twice, right once; b: one hit, chosen once, right twice.
    assert choice_metrics.macro_f1(scored).over_all() == pytest.approx(2 / 3)
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.9)) / 3
    assert choice_metrics.log_loss(scored).over_all() == pytest.approx(expected)
    # Bins (0.7, 0.8], (0.5, 0.6] and (0.8, 0.9], one row each.
    assert choice_metrics.calibration_error(scored).over_all() == pytest.approx(
        (0.2 + 0.6 + 0.1) / 3
    )


def without_neutral_rows() -> LabelScores:
    """Forty rows, none of them neutral, which is chosen once."""
    scores = [{"positive": 0.0, "negative": -1.0, "neutral": -2.0}] * 20
    scores += [{"positive": -1.0, "negative": 0.0, "neutral": -2.0}] * 19
    scores += [{"positive": -2.0, "negative": -1.0, "neutral": 0.0}]
    return LabelScores.of(scores, ["positive"] * 20 + ["negative"] * 20)


def test_macro_f1_is_the_mean_over_the_labels_of_the_references() -> None:
    scored = without_neutral_rows()
    statistic = choice_metrics.macro_f1(scored)
    of_negative = 2 * 19 / (20 + 19)
    assert statistic.over_all() == pytest.approx((1.0 + of_negative) / 2)
    assert statistic.over_all() == pytest.approx(
        sk.f1_score(scored.truth, scored.best, labels=[0, 1], average="macro")
    )
    assert choice_metrics.labels_of_references(scored) == ["positive", "negative"]


def test_no_resample_averages_over_a_label_that_none_of_its_rows_has() -> None:
    estimate = interval(choice_metrics.macro_f1(without_neutral_rows()))
    # With neutral as a third label, which counts 0, every resample that draws the row falls by 1/3.
    assert estimate.low > 0.9
    assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("labels", [2, 3, 40])
def test_as_scikit_learn(labels: int) -> None:
    scored = drawn(200, labels)
    chances = np.exp(scored.log_probabilities())
    assert choice_metrics.accuracy(scored).over_all() == pytest.approx(
        sk.accuracy_score(scored.truth, scored.best)
    )
    of_references = np.unique(scored.truth)
    assert choice_metrics.macro_f1(scored).over_all() == pytest.approx(
        sk.f1_score(scored.truth, scored.best, labels=of_references, average="macro")
    )
    assert choice_metrics.log_loss(scored).over_all() == pytest.approx(
        sk.log_loss(scored.truth, chances, labels=range(labels))
    )
    assert np.array(choice_metrics.confusion(scored)).sum() == 200


def test_a_label_that_was_not_offered_has_no_chance() -> None:
    scored = LabelScores.of([{"a": -1.0, "b": -2.0}, {"b": -1.0, "c": -3.0}], ["a", "b"])
    assert np.exp(scored.log_probabilities())[0, 2] == 0
    assert np.isfinite(choice_metrics.log_loss(scored).over_all())


def test_reliability_bins_hold_every_row() -> None:
    scored = drawn(300, 3)
    bins = choice_metrics.reliability(choice_metrics.confidence(scored), scored.right)
    assert sum(one["rows"] for one in bins) == 300
    error = sum(one["rows"] * abs(one["right"] - one["confidence"]) for one in bins) / 300
    assert choice_metrics.calibration_error(scored).over_all() == pytest.approx(error)
    assert all(one["low"] < one["confidence"] <= one["high"] for one in bins)


def test_the_temperature_is_found_again() -> None:
    scored = drawn(4000, 3, temperature=2.5)
    temperature = choice_metrics.fit_temperature(scored)
    assert temperature == pytest.approx(2.5, rel=0.1)
    assert (
        choice_metrics.log_loss(scored, temperature).over_all()
        < choice_metrics.log_loss(scored).over_all()
    )
    assert choice_metrics.calibration_error(scored, temperature).over_all() < 0.03


def test_biases_are_found_again() -> None:
    scored = drawn(4000, 3, temperature=2.0)
    leaning = scored.moved({scored.labels[0]: 3.0})
    temperature, biases = choice_metrics.fit_vector_scaling(leaning)
    assert temperature == pytest.approx(2.0, rel=0.1)
    first, second, third = (biases[label] for label in leaning.labels)
    assert first - second == pytest.approx(-3, abs=0.4)
    assert second - third == pytest.approx(0, abs=0.4)


def test_per_label() -> None:
    scored = LabelScores.of([{"a": 0.0, "b": -1.0}] * 3, ["a", "a", "b"])
    assert choice_metrics.per_label(scored)["a"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "rows": 2}
    )
    assert choice_metrics.per_label(scored)["b"]["recall"] == 0
