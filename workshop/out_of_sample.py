"""What the other rows say of each row's label: probabilities by a model that has not seen the row.

The model is the cheap one, TF-IDF with logistic regression: it reads a thousand rows in a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workshop.review_row import ReviewRow

FOLDS = 5
MIN_EACH = 5  # rows of a label: with fewer, some folds have none to learn from


@dataclass(frozen=True)
class OutOfSample:
    """Rows whose label the other rows say something of.

    Attributes:
        given: for each row, its label as an index into `labels`.
        probabilities: (rows, labels), each row summing to 1.
    """

    rows: Sequence[ReviewRow]
    labels: Sequence[str]
    given: np.ndarray
    probabilities: np.ndarray


def out_of_sample(rows: Sequence[ReviewRow]) -> OutOfSample | None:
    """Probabilities by five folds, all rows of a rater in one of them.

    Args:
        rows: their label is what was decided, or else suggested. Those without one, and those of
            labels with fewer than five rows, are left out.

    Returns:
        None where fewer than two labels are left, or everything is of one rater.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from tasks.text_classifier import classifier

    counts = Counter(label_of(row) for row in rows)
    kept = [row for row in rows if label_of(row) and counts[label_of(row)] >= MIN_EACH]
    labels = sorted({label_of(row) for row in kept})
    # Rows of nobody that is known are each of somebody else.
    groups = [row.rater or f"row {row.id}" for row in kept]
    if len(labels) < 2 or len(set(groups)) < 2:
        return None
    given = np.array([labels.index(label_of(row)) for row in kept])
    folds = StratifiedGroupKFold(min(FOLDS, len(set(groups))), shuffle=True, random_state=0)
    probabilities = np.zeros((len(kept), len(labels)))
    texts = np.array([row.text for row in kept], dtype=object)
    for train, test in folds.split(texts, given, groups):
        if not len(test):
            continue
        model = classifier().fit(texts[train], given[train])
        probabilities[np.ix_(test, model.classes_)] = model.predict_proba(texts[test])
    return OutOfSample(kept, labels, given, probabilities)


def label_of(row: ReviewRow) -> str:
    """The label that was decided, or else the suggested one; empty where there is none."""
    return row.right or row.suggested
