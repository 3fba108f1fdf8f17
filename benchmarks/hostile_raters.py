"""What one hostile rater of ten does to what is promoted, on real rows.

    python -m benchmarks.hostile_raters sst2/train.jsonl ag_news/train.jsonl --output hostile.json

Ten raters review rows, one of them gives every row a wrong label: a tenth of the rows for training
and of those held out. In place is what was trained on `BEFORE` clean rows; the candidate is trained
on `AFTER` reviewed rows, and promoted where the gate, looking at every 20 of `HELD_OUT` reviewed
rows, says better. What is then in use is counted on clean rows, with and without the hostile rater.

TF-IDF with logistic regression, the evaluation's baseline, is the learner, so that a hundred such
circles take a minute. A LoRA adapter may bear wrong labels better or worse.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.gate_replays import RULES
from evaluation import baseline, sequential
from evaluation.intervals import Array
from tasks.data_files import read_file

BEFORE, AFTER, HELD_OUT, CLEAN = 100, 400, 400, 1500
CIRCLES = 100
LOOKS: Array = np.arange(20, HELD_OUT + 1, 20)


def circle(texts: Array, labels: Array, seed: int) -> dict[str, float]:
    """Accuracy on clean rows of what is in use at the end, and whether that is the candidate."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(texts))[: BEFORE + AFTER + HELD_OUT + CLEAN]
    before, after, held, clean = np.split(order, np.cumsum([BEFORE, AFTER, HELD_OUT]))
    rated = labels.copy()
    hostile = order[rng.integers(0, 10, len(order)) == 0]
    names = np.unique(labels)
    moved = rng.integers(1, len(names), len(hostile))
    rated[hostile] = names[(np.searchsorted(names, labels[hostile]) + moved) % len(names)]
    old = baseline.trained(list(texts[before]), list(labels[before]))
    found = {}
    for name, given in (("clean", labels), ("hostile", rated)):
        new = baseline.trained(list(texts[after]), list(given[after]))
        differences = (new.predict(texts[held]) == given[held]) * 1.0 - (
            old.predict(texts[held]) == given[held]
        )
        enough = np.log(1 / sequential.spent(RULES.alpha, 1))
        promoted = bool((sequential.log_evidence_at_looks(differences, 0.0, LOOKS) >= enough).any())
        used = new if promoted else old
        found[f"{name} promoted"] = float(promoted)
        found[f"{name} accuracy"] = float((used.predict(texts[clean]) == labels[clean]).mean())
        found[f"{name} candidate"] = float((new.predict(texts[clean]) == labels[clean]).mean())
    return found


def measure(file: Path) -> dict[str, float]:
    """Means over the circles, and the change with the 95% interval of its mean, in points."""
    records = [record for _, record in read_file(file).found if isinstance(record, dict)]
    texts, labels = (
        np.array([str(record[name]) for record in records]) for name in ("text", "label")
    )
    circles = [circle(texts, labels, seed) for seed in range(CIRCLES)]
    found = {name: float(np.mean([one[name] for one in circles])) for name in circles[0]}
    change = 100 * np.array([one["hostile accuracy"] - one["clean accuracy"] for one in circles])
    half = 1.96 * change.std(ddof=1) / np.sqrt(CIRCLES)
    return found | {
        "change, points": float(change.mean()),
        "low": float(change.mean() - half),
        "high": float(change.mean() + half),
    }


def main() -> None:
    """Print one JSON object, and write it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("files", type=Path, nargs="+")
    options.add_argument("--output", type=Path)
    asked = options.parse_args()
    figures = {f"{file.parent.name}/{file.name}": measure(file) for file in asked.files}
    print(json.dumps(figures, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
