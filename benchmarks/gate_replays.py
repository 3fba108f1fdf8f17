"""Replay the gate on drawn rows that come day by day, looked at every day, beside the naive way.

    python -m benchmarks.gate_replays --output results/gate-replays.json

The naive way promotes at the first look whose two-sided test (exact McNemar, or a paired t-test for
written figures) has p < 0.05 in favour of the new one. The gate wants that too, and its e-value.

- `same`: old and new are equally good, in several ways; the share of replays that promote at some
  look. `candidates`: ten of them one after another on the same rows.
- `loss`: the new one gains 10 points on its own task and loses 5 on another, whose rows come as
  fast; the share of replays that never promote. `harmless`: the same without that loss, and rows of
  the other task until it is promoted.
- `gain`: rows until a gain of 5, 10 and 20 points is promoted, and what the gate promised for it
  when a fifth of them was seen.
- `hostile`: see `benchmarks.hostile_raters`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from core import sequential
from evaluation import gate
from evaluation.intervals import Array

REPLAYS = 1000
ROWS_A_DAY, DAYS = 20, 60
LOOKS: Array = np.arange(ROWS_A_DAY, ROWS_A_DAY * DAYS + 1, ROWS_A_DAY)
CANDIDATES = 10
RULES = gate.rules()
Draw = Callable[[np.random.Generator, int], Array]  # differences of so many rows


def choices(differ: float, gain: float = 0.0) -> Draw:
    """Rows on which a share of the answers differs, more of them in favour of the new one."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        drawn = rng.random(rows)
        won = (differ + gain) / 2
        return np.where(drawn < won, 1.0, np.where(drawn < differ, -1.0, 0.0))

    return draw


def independent(accuracy: float) -> Draw:
    """Two that are right on the same share of the rows, and know nothing of each other."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        return (rng.random(rows) < accuracy) * 1.0 - (rng.random(rows) < accuracy)

    return draw


def written(rng: np.random.Generator, rows: int) -> Array:
    """Two with figures like ROUGE's, drawn alike."""
    return rng.beta(2, 5, rows) - rng.beta(2, 5, rows)


def skewed(rng: np.random.Generator, rows: int) -> Array:
    """A little better on nine rows of ten, much worse on the tenth: no gain in the mean."""
    return np.where(rng.random(rows) < 0.9, 0.05, -0.45)


SAME: dict[str, Draw] = {
    "accuracy 0.6, answers independent": independent(0.6),
    "accuracy 0.9, answers independent": independent(0.9),
    "accuracy 0.6, one answer in ten differs": choices(0.1),
    "accuracy 0.9, one answer in twenty differs": choices(0.05),
    "written figures": written,
    "written figures, skewed": skewed,
}


def better(rows: Array, candidate: int = 1) -> Array:
    """(looks,) whether the gate finds the new one better."""
    enough = math.log(1 / sequential.spent(RULES.alpha, candidate))
    return (sequential.log_evidence_at_looks(rows, 0.0, LOOKS) >= enough) & naive(rows)


def harmless(rows: Array) -> Array:
    """(looks,) whether a loss is ruled out."""
    enough = math.log(1 / sequential.spent(RULES.alpha, 1))
    found: Array = sequential.log_evidence_at_looks(rows, -RULES.harm, LOOKS) >= enough
    return found


def naive(rows: Array) -> Array:
    """(looks,) whether p < 0.05, for the new one."""
    if set(np.unique(rows)) <= {-1.0, 0.0, 1.0}:
        won, lost = ((rows == side).cumsum()[LOOKS - 1] for side in (1, -1))
        p = 2 * stats.binom.cdf(np.minimum(won, lost), won + lost, 0.5)
        return np.asarray((p < 0.05) & (won > lost))
    mean = rows.cumsum()[LOOKS - 1] / LOOKS
    variance = ((rows**2).cumsum()[LOOKS - 1] - LOOKS * mean**2) / (LOOKS - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / np.sqrt(variance / LOOKS)
    return np.asarray((2 * stats.t.sf(np.abs(t), LOOKS - 1) < 0.05) & (mean > 0))


def same(draw: Draw, seed: int) -> dict[str, float]:
    """Shares of replays that promote at some look what is no better."""
    rng = np.random.default_rng(seed)
    rows = [draw(rng, LOOKS[-1]) for _ in range(REPLAYS)]
    return {
        "gate": float(np.mean([better(one).any() for one in rows])),
        "naive": float(np.mean([naive(one).any() for one in rows])),
        "naive, one look at the end": float(np.mean([naive(one)[-1] for one in rows])),
    }


def candidates(seed: int) -> dict[str, float]:
    """The same where ten candidates are tried on the same rows."""
    rng = np.random.default_rng(seed)
    wrong = dict.fromkeys(("gate", "naive"), 0)
    for _ in range(REPLAYS):
        tried = [choices(0.2)(rng, LOOKS[-1]) for _ in range(CANDIDATES)]
        wrong["gate"] += any(better(rows, n).any() for n, rows in enumerate(tried, 1))
        wrong["naive"] += any(naive(rows).any() for rows in tried)
    return {way: float(count / REPLAYS) for way, count in wrong.items()}


def elsewhere(differ: float, loss: float, seed: int) -> dict[str, Any]:
    """A gain of 10 points at home, and a loss on another task."""
    rng = np.random.default_rng(seed)
    promoted, naively, until = 0, 0, []
    for _ in range(REPLAYS):
        home = choices(0.2, 0.1)(rng, LOOKS[-1])
        away = choices(differ, -loss)(rng, LOOKS[-1])
        good = better(home) & harmless(away)
        promoted += bool(good.any())
        # The naive way stops at a loss that is shown, and at no other.
        naively += bool((naive(home) & ~naive(-away)).any())
        until.append(_first(harmless(away)))
    return {
        "stopped by the gate": 1 - promoted / REPLAYS,
        "stopped by the naive way": 1 - naively / REPLAYS,
        "rows until a loss is ruled out": _quantiles(until),
    }


def gain(differ: float, points: float, seed: int) -> dict[str, Any]:
    """Rows until a gain is promoted, and how many the gate promised when a fifth was seen."""
    rng = np.random.default_rng(seed)
    alpha = sequential.spent(RULES.alpha, 1)
    until, naively, promised = [], [], []
    for _ in range(REPLAYS):
        rows = choices(differ, points)(rng, LOOKS[-1])
        until.append(_first(better(rows)))
        naively.append(_first(naive(rows)))
    early = max(ROWS_A_DAY, int(np.median(until)) // 5)
    for _ in range(REPLAYS // 10):
        seen = sequential.judge(choices(differ, points)(rng, early), alpha, 0.0, RULES.gain)
        promised.append(early + seen.more_rows)
    return {
        "rows": _quantiles(until),
        "promised": {"seen": early, **_quantiles(promised)},
        "naive rows": _quantiles(naively),
    }


def _first(looks: Array) -> float:
    """Rows at the first look that says so."""
    return float(LOOKS[looks.argmax()]) if looks.any() else math.inf


def _quantiles(rows: Sequence[float]) -> dict[str, float | None]:
    """Median and nine of ten; None where the days did not suffice."""
    found = [float(np.quantile(rows, q, method="lower")) for q in (0.5, 0.9)]
    return dict(zip(("half", "nine_of_ten"), (x if x < math.inf else None for x in found),
                    strict=True))  # fmt: skip


def main() -> None:
    """Print one JSON object, and write it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", type=Path)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    figures = {
        "replays": REPLAYS,
        "rows_a_day": ROWS_A_DAY,
        "days": DAYS,
        "rules": {name: getattr(RULES, name) for name in ("alpha", "gain", "harm")},
        "same": {name: same(draw, asked.seed) for name, draw in SAME.items()},
        "candidates": candidates(asked.seed),
        "loss of 5 points elsewhere": {
            f"{differ:.0%} of the answers differ": elsewhere(differ, 0.05, asked.seed)
            for differ in (0.05, 0.1, 0.2)
        },
        "harmless elsewhere": {
            f"{differ:.0%} of the answers differ": elsewhere(differ, 0.0, asked.seed)
            for differ in (0.0, 0.02, 0.05, 0.1)
        },
        "gain": {
            f"{points:.0%}, {differ:.0%} of the answers differ": gain(differ, points, asked.seed)
            for points, differ in ((0.05, 0.1), (0.05, 0.2), (0.1, 0.2), (0.2, 0.3))
        },
    }
    print(json.dumps(figures, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
