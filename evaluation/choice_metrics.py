"""Scores of choices among labels: accuracy, F1, log loss, calibration. Pure functions.

For written answers see `text_metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from core.calibration import BINS, bin_of, bin_sums, error_of
from evaluation.intervals import Array, Statistic, mean

LOG_TEMPERATURE_BOUND = math.log(20)  # of the fitted temperature: 1/20 to 20


@dataclass(frozen=True)
class LabelScores:
    """Label scores of rows whose right label is known.

    Attributes:
        labels: every label that occurs.
        truth: (rows,) index of the right label.
        logprobs: (rows, labels) log-likelihoods as the engine gives them, not normalized; -inf
            for a label that was not offered.
    """

    labels: list[str]
    truth: Array
    logprobs: Array

    @classmethod
    def of(cls, logprobs: Sequence[Mapping[str, float]], truth: Sequence[str]) -> LabelScores:
        """From the label -> log-likelihood and the right label of each row."""
        labels = list(dict.fromkeys(label for row in logprobs for label in row))
        place = {label: i for i, label in enumerate(labels)}
        table = np.full((len(logprobs), len(labels)), -np.inf)
        for i, row in enumerate(logprobs):
            for label, value in row.items():
                table[i, place[label]] = value
        return cls(labels, np.array([place[label] for label in truth], dtype=int), table)

    def log_probabilities(self, temperature: float = 1.0) -> Array:
        """(rows, labels) log probabilities: log softmax of the scores over temperature."""
        normalized: Array = log_softmax(self.logprobs / temperature, axis=1)
        return normalized

    def moved(self, biases: Mapping[str, float]) -> LabelScores:
        """The scores with something added for each label."""
        more = np.array([biases.get(label, 0.0) for label in self.labels])
        return replace(self, logprobs=self.logprobs + more)

    @property
    def best(self) -> Array:
        """(rows,) index of the likeliest label."""
        best: Array = self.logprobs.argmax(axis=1)
        return best

    @property
    def right(self) -> Array:
        """(rows,) whether the likeliest label is the right one."""
        right: Array = self.best == self.truth
        return right


def accuracy(scores: LabelScores) -> Statistic:
    """Share of rows whose likeliest label is right."""
    return mean("accuracy", scores.right.astype(float).tolist())


def macro_f1(scores: LabelScores) -> Statistic:
    """Mean of F1 over the labels of the references, of a resample's own in each resample.

    A label that is chosen and never right has no F1 of its own; it lowers that of others.
    """
    count = len(scores.labels)
    chosen, true = np.eye(count)[scores.best], np.eye(count)[scores.truth]

    def value(sums: Array) -> Array:
        hits, predicted, actual = np.split(sums, 3, axis=1)
        occurs = actual > 0
        f1 = np.divide(2 * hits, predicted + actual, out=np.zeros_like(hits), where=occurs)
        means: Array = f1.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
        return means

    return Statistic("macro_f1", np.hstack([chosen * true, chosen, true]), value)


def labels_of_references(scores: LabelScores) -> list[str]:
    """The labels that are right on some row: those that `macro_f1` is the mean over."""
    return [label for i, label in enumerate(scores.labels) if (scores.truth == i).any()]


def log_loss(scores: LabelScores, temperature: float = 1.0) -> Statistic:
    """Mean of -ln p(right label), in nats."""
    return mean("log_loss", _negative_log_likelihood(scores, temperature).tolist(), "lower")


def calibration_error(scores: LabelScores, temperature: float = 1.0) -> Statistic:
    """Expected calibration error of the likeliest label's probability, see `core.calibration`."""
    return expected_calibration_error(confidence(scores, temperature), scores.right)


def expected_calibration_error(stated: Array, right: Array) -> Statistic:
    """The same for any stated confidence, (rows,) from 0 to 1, and whether each row was right."""
    return Statistic("calibration_error", bin_sums(stated, right), error_of, "lower")


def reliability(stated: Array, right: Array) -> list[dict[str, float]]:
    """The bins that hold rows: bounds, rows, mean confidence and share right.

    Arguments as `expected_calibration_error`.
    """
    placed = bin_of(stated)
    return [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "rows": int((placed == i).sum()),
            "confidence": float(stated[placed == i].mean()),
            "right": float(right[placed == i].mean()),
        }
        for i in range(BINS)
        if (placed == i).any()
    ]


def per_label(scores: LabelScores) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and row count of every label (scikit-learn; 0 where undefined)."""
    columns = precision_recall_fscore_support(
        scores.truth, scores.best, labels=range(len(scores.labels)), zero_division=0
    )
    return {
        label: {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "rows": int(rows),
        }
        for label, precision, recall, f1, rows in zip(scores.labels, *columns, strict=True)
    }


def confusion(scores: LabelScores) -> list[list[int]]:
    """Counts: a line for each right label, a column for each chosen one (scikit-learn)."""
    counts: list[list[int]] = confusion_matrix(
        scores.truth, scores.best, labels=range(len(scores.labels))
    ).tolist()
    return counts


def fit_temperature(scores: LabelScores) -> float:
    """The temperature with the least log loss (Guo et al. 2017); above 1 is less sure."""
    optimum = minimize_scalar(
        lambda log_temperature: float(
            _negative_log_likelihood(scores, math.exp(log_temperature)).mean()
        ),
        bounds=(-LOG_TEMPERATURE_BOUND, LOG_TEMPERATURE_BOUND),
        method="bounded",
    )
    return math.exp(optimum.x)


def fit_vector_scaling(scores: LabelScores) -> tuple[float, dict[str, float]]:
    """Temperature and biases with the least log loss: (scores + bias) / temperature.

    Vector scaling (Guo et al. 2017) with one slope for all labels. The biases sum to 0. A weak
    penalty (0.001 a squared nat) keeps that of a label in no row from running away.
    """
    count = len(scores.labels)

    def loss(values: Array) -> float:
        biases = dict(zip(scores.labels, values[1:], strict=True))
        losses = _negative_log_likelihood(scores.moved(biases), math.exp(values[0]))
        return float(losses.mean() + 1e-3 * (values[1:] ** 2).sum())

    bounds = [(-LOG_TEMPERATURE_BOUND, LOG_TEMPERATURE_BOUND), *[(-20.0, 20.0)] * count]
    found = minimize(loss, np.zeros(1 + count), bounds=bounds)
    biases = found.x[1:] - found.x[1:].mean()
    return math.exp(found.x[0]), dict(zip(scores.labels, biases.tolist(), strict=True))


def _negative_log_likelihood(scores: LabelScores, temperature: float) -> Array:
    rows = np.arange(len(scores.truth))
    losses: Array = -scores.log_probabilities(temperature)[rows, scores.truth]
    return losses


def confidence(scores: LabelScores, temperature: float = 1.0) -> Array:
    """(rows,) probability of the likeliest label."""
    top: Array = np.exp(scores.log_probabilities(temperature).max(axis=1))
    return top
