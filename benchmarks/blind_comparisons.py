"""Rows that people have to compare blind until it is told whose answers they prefer.

    python -m benchmarks.blind_comparisons

Choices are drawn with a share for the new adapter, ties left out, and looked at after every row,
as the workshop looks at them. Prints a line for each share: how many rows half of the histories
take and nine of ten, and how many of the histories call the new one better. "-" is more than
`ROWS`.
"""

from __future__ import annotations

import numpy as np

from core import sequential
from workshop.human_preference import WORTH

HISTORIES, ROWS = 1000, 1500
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
ALPHA = sequential.spent(0.05, 1)  # as the gate has it for the first candidate
ENOUGH = -np.log(ALPHA)
LOOKS = np.arange(1, ROWS + 1)


def main() -> None:
    """Print the table."""
    print("share  half  nine of ten  called better")
    for share in SHARES:
        rng, until, better = np.random.default_rng(0), [], 0
        for _ in range(HISTORIES):
            chosen = np.where(rng.random(ROWS) < share, 1.0, -1.0)
            gained = _shown(chosen, 0.0)
            told = gained | _shown(-chosen, 1 - 2 * WORTH)
            until.append(float(LOOKS[told.argmax()]) if told.any() else np.inf)
            better += bool(gained.any())
        half, most = (np.quantile(until, q, method="lower") for q in (0.5, 0.9))
        print(f"{share:5.0%}  {_rows(half):>4}  {_rows(most):>11}  {better / HISTORIES:13.1%}")


def _shown(chosen: sequential.Array, bound: float) -> sequential.Array:
    """(looks,) whether the mean is shown to be above the bound."""
    found: sequential.Array = sequential.log_evidence_at_looks(chosen, bound, LOOKS) >= ENOUGH
    return found


def _rows(count: float) -> str:
    return "-" if count == np.inf else f"{count:.0f}"


if __name__ == "__main__":
    main()
