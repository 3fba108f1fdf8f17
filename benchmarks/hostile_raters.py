"""What one hostile rater of ten does to what is promoted, on real rows.

    python -m benchmarks.hostile_raters sst2/train.jsonl ag_news/train.jsonl \
        --circles 40 --output results/hostile-raters.json

Ten raters review rows, one of them gives every row a wrong label: a tenth of the rows for training
and of those held out. In place is what was trained on `BEFORE` clean rows; the candidate is trained
on `AFTER` reviewed rows, and promoted where the gate, looking at every 20 of `HELD_OUT` reviewed
rows, says better. What is then in use is counted on clean rows: with nobody hostile, with the
hostile rater, with raters left out as a whole whom the workshop calls odd
(`workshop.similar.rater_agreement`), and with their texts reviewed again by somebody who is right,
which costs as many reviews once more.

TF-IDF with logistic regression, the evaluation's baseline, is the learner, so that a circle takes
seconds. A LoRA adapter may bear wrong labels better or worse.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.gate_replays import RULES
from core import sequential
from evaluation.intervals import Array
from tasks.data_files import read_file
from tasks.text_classifier import classifier
from workshop.out_of_sample import out_of_sample
from workshop.review_row import ReviewRow
from workshop.similar import rater_agreement

BEFORE, AFTER, HELD_OUT, CLEAN = 40, 400, 600, 1000
RATERS = 10
LOOKS: Array = np.arange(20, HELD_OUT + 1, 20)


def circle(texts: Array, labels: Array, seed: int) -> dict[str, float]:
    """For each way: accuracy on clean rows of what is in use at the end, and if it was promoted."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(texts))[: BEFORE + AFTER + HELD_OUT + CLEAN]
    before, after, held, clean = np.split(order, np.cumsum([BEFORE, AFTER, HELD_OUT]))
    raters = rng.integers(0, RATERS, len(texts))
    rated = labels.copy()
    hostile = order[raters[order] == 0]
    names = np.unique(labels)
    moved = rng.integers(1, len(names), len(hostile))
    rated[hostile] = names[(np.searchsorted(names, labels[hostile]) + moved) % len(names)]
    old = classifier().fit(texts[before], labels[before])
    looked_at = np.concatenate([after, held])
    odd = odd_raters(texts[looked_at], rated[looked_at], raters[looked_at])
    kept = [rows[~np.isin(raters[rows], odd)] for rows in (after, held)]
    again = np.where(np.isin(raters, odd), labels, rated)
    found = {"found": float(0 in odd), "wrongly left out": float(len([n for n in odd if n]))}
    ways: list[tuple[str, Array, Array, Array]] = [
        ("clean", labels, after, held),
        ("hostile", rated, after, held),
        ("left out", rated, kept[0], kept[1]),
        ("reviewed again", again, after, held),
    ]
    for way, given, train, judged in ways:
        new = classifier().fit(texts[train], given[train])
        promoted = _promoted(
            new.predict(texts[judged]) == given[judged], old.predict(texts[judged]) == given[judged]
        )
        used = new if promoted else old
        found[f"{way} promoted"] = float(promoted)
        found[f"{way} accuracy"] = float((used.predict(texts[clean]) == labels[clean]).mean())
    return found


def odd_raters(texts: Array, given: Array, raters: Array) -> list[int]:
    """Raters whom the workshop calls odd."""
    named = map(str, raters)
    found = out_of_sample(
        [
            ReviewRow(
                id=f"row {n}", task="mine", text=text, why="imported", suggested=label, rater=rater
            )
            for n, (text, label, rater) in enumerate(zip(texts, given, named, strict=True))
        ]
    )
    return [int(one.rater) for one in rater_agreement(found) if one.odd] if found else []


def _promoted(new: Array, old: Array) -> bool:
    enough = np.log(1 / sequential.spent(RULES.alpha, 1))
    looks = LOOKS[len(new) >= LOOKS]
    evidence = sequential.log_evidence_at_looks(new * 1.0 - old, 0.0, looks)
    return bool((evidence >= enough).any())


def measure(file: Path, count: int) -> dict[str, float]:
    """Means over the circles, and changes in points with the 95% interval of their mean."""
    records = [record for _, record in read_file(file).found if isinstance(record, dict)]
    texts, labels = (np.array([str(row[name]) for row in records]) for name in ("text", "label"))
    circles = [circle(texts, labels, seed) for seed in range(count)]
    found = {name: float(np.mean([one[name] for one in circles])) for name in circles[0]}
    for way in ("hostile", "left out", "reviewed again"):
        change = 100 * np.array([one[f"{way} accuracy"] - one["clean accuracy"] for one in circles])
        half = 1.96 * change.std(ddof=1) / np.sqrt(count)
        found[f"{way}: change, points"] = float(change.mean())
        found[f"{way}: half of its interval"] = float(half)
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Print one JSON object, and write it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("files", type=Path, nargs="+")
    options.add_argument("--circles", type=int, default=100)
    options.add_argument("--output", type=Path)
    asked = options.parse_args()
    figures = {
        f"{file.parent.name}/{file.name}": measure(file, asked.circles) for file in asked.files
    }
    print(json.dumps(figures, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
