"""Each row's own score from 0 to 1, for tests that need one number a row.

Some figures are of whole corpora, or have no bounds; another stands in for those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from evaluation import figures
from evaluation.intervals import Array
from evaluation.record import Outcome

OF_HUNDRED = {"bleu", "chrf"}  # figures on a scale of 100


@dataclass(frozen=True)
class RowScores:
    """Scores of rows.

    Attributes:
        name: what is scored.
        values: (rows,) from 0 to 1, more is better; of differences from -1 to 1.
    """

    name: str
    values: Array


def row_scores(primary: str, outcomes: Sequence[Outcome]) -> RowScores:
    """What stands for a figure row by row.

    Accuracy is whether the row is right, and that stands in for macro F1; sentence-level chrF++ for
    BLEU; the Brier score of the label probabilities, turned over, for log loss and calibration
    error; the probability of a token of the reference, geometric mean, for perplexity. Shares of
    what is bad are turned over. ROUGE, chrF++ and shares have a value for each row; nan where it
    has none.

    Args:
        primary: the name of a figure.
        outcomes: answered rows.

    Raises:
        InputError: the figure says nothing of good or bad, or the rows lack what it needs.
    """
    name, score = _SCORES.get(primary, (primary, None))
    values = score(outcomes) if score else _each(primary, outcomes)
    return RowScores(name, values)


def differences(primary: str, first: Sequence[Outcome], second: Sequence[Outcome]) -> RowScores:
    """Second minus first over the same rows; 0 where one has no score. Raises as `row_scores`."""
    one, two = row_scores(primary, first), row_scores(primary, second)
    return RowScores(one.name, np.nan_to_num(two.values - one.values))


def _each(name: str, outcomes: Sequence[Outcome]) -> Array:
    """A figure that each row has by itself."""
    statistic = figures.statistic(name, outcomes)
    if statistic.better == "neither":
        raise InputError(
            f"{name!r} says nothing of better or worse. Name another figure first under `metrics` "
            "in the task's task.yaml, and judge both anew."
        )
    scale = 100.0 if name in OF_HUNDRED else 1.0
    values: Array = np.clip(statistic.each() / scale, 0.0, 1.0)
    return values if statistic.better == "higher" else 1 - values


def _right(outcomes: Sequence[Outcome]) -> Array:
    return np.array([float(row.answer == row.reference) for row in outcomes])


def _brier(outcomes: Sequence[Outcome]) -> Array:
    """1 - half the squared distance to the truth (Brier 1950, halved so that it ends at 1)."""
    scores = figures.label_scores(outcomes)
    truth = np.eye(len(scores.labels))[scores.truth]
    distance: Array = ((np.exp(scores.log_probabilities()) - truth) ** 2).sum(axis=1)
    return 1 - distance / 2


def _token_probability(outcomes: Sequence[Outcome]) -> Array:
    unscored = [r.line for r in outcomes if r.log_likelihood is None or not r.reference_tokens]
    if unscored:
        raise InputError(
            f"Line {unscored[0]} has no likelihood of its reference: perplexity cannot be judged "
            "row by row. Judge with an engine that scores texts."
        )
    return np.exp([(row.log_likelihood or 0.0) / row.reference_tokens for row in outcomes])


_SCORES: dict[str, tuple[str, Callable[[Sequence[Outcome]], Array]]] = {
    "accuracy": ("accuracy", _right),
    "macro_f1": ("accuracy", _right),
    "log_loss": ("Brier score, 1 being best", _brier),
    "calibration_error": ("Brier score, 1 being best", _brier),
    "bleu": ("chrF++ of each row", lambda rows: _each("chrf", rows)),
    "perplexity": ("probability of the reference's tokens", _token_probability),
}
