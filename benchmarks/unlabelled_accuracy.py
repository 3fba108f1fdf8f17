"""Accuracy estimated without labels, beside the accuracy, over the rows of judged runs.

    python -m benchmarks.unlabelled_accuracy RUN OTHER_RUN ...

The folders are of `evaluation run` with one adapter. Half of the first run's rows stand for those
that the adapter was judged on: the temperature and the gap are theirs. Of its other half, and of
each other run, the accuracy is estimated as the watch does, from the last `WINDOW` rows: with the
judged gap, with confidence alone, and with that of `REVIEWED` reviewed rows of the same file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import choice_metrics, figures, record
from evaluation.intervals import Array
from workshop.accuracy import WINDOW, AccuracyEstimate, Gap, estimate

REVIEWED = 50


def measure(first: Path, others: list[Path]) -> dict[str, Any]:
    """Run -> its accuracy and the estimates."""
    known = _scores(first)
    order = np.random.default_rng(0).permutation(len(known.truth))
    judged, rest = (_of(known, half) for half in np.array_split(order, 2))
    temperature = choice_metrics.fit_temperature(judged)
    gap = _gap(judged, temperature)
    runs = {first.name: rest} | {folder.name: _scores(folder) for folder in others}
    return {name: _estimates(scores, temperature, gap) for name, scores in runs.items()}


def _scores(folder: Path) -> choice_metrics.LabelScores:
    return figures.label_scores([row for row in record.outcomes(folder) if row.error is None])


def _of(scores: choice_metrics.LabelScores, rows: Array) -> choice_metrics.LabelScores:
    return choice_metrics.LabelScores(scores.labels, scores.truth[rows], scores.logprobs[rows])


def _gap(scores: choice_metrics.LabelScores, temperature: float) -> Gap:
    return Gap.of(choice_metrics.confidence(scores, temperature).tolist(), scores.right.tolist())


def _estimates(
    scores: choice_metrics.LabelScores, temperature: float, judged: Gap
) -> dict[str, Any]:
    order = np.random.default_rng(1).permutation(len(scores.truth))
    reviewed, latest = _of(scores, order[:REVIEWED]), _of(scores, order[REVIEWED:][:WINDOW])
    stated = choice_metrics.confidence(latest, temperature).tolist()
    return {
        "accuracy": float(latest.right.mean()),
        "judged rows": _shown(estimate(stated, judged, "judged rows")),
        "confidence alone": _shown(estimate(stated, None, "confidence alone")),
        "reviewed rows": _shown(estimate(stated, _gap(reviewed, temperature), "reviewed rows")),
    }


def _shown(found: AccuracyEstimate | None) -> list[float] | None:
    return [round(value, 3) for value in (found.value, found.low, found.high)] if found else None


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[1:]]
    print(json.dumps(measure(folders[0], folders[1:])))
