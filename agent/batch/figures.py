"""What the results of a table come to: shares of labels, confidence, and right or wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.batch.journal import RowResult
from agent.batch.table import Table
from tasks.label_names import coding, label_of, task_labels
from tasks.spec import TaskSpec

QUANTILE = 1.959964  # of the normal distribution, for 95%


@dataclass(frozen=True)
class Agreement:
    """Answers against the labels of a column.

    Attributes:
        accuracy: share of rows that agree, with its 95% interval from `low` to `high`.
        rows: that were compared; the `skipped` ones have no answer, or a label that is none.
        confusion: (right label, answer) -> rows.
    """

    accuracy: float
    low: float
    high: float
    rows: int
    skipped: int
    confusion: Mapping[tuple[str, str], int]


def shares(results: Iterable[RowResult]) -> dict[str, int]:
    """Label -> rows, the most frequent first; rows without an answer do not count."""
    return dict(Counter(one.text for one in results if not one.error).most_common())


def agreement(
    table: Table,
    column: str,
    results: Mapping[int, RowResult],
    *,
    task: TaskSpec,
    labels: Sequence[str],
) -> Agreement | None:
    """The answers against a column with right labels, written as the task or its codings do.

    Args:
        labels: those that were chosen from.

    Returns:
        None where nothing can be compared.
    """
    told = {row.line: row.text(column).strip() for row in table.rows if row.text(column).strip()}
    own = {label: label for label in labels}
    names = own if set(labels) - set(task.labels) else task_labels(task)
    known = {said: label_of(said, names) for said in set(told.values())}
    if not any(known.values()) and (coded := coding(task, list(known))):
        known = dict(coded)
    pairs = Counter(
        (right, results[line].text)
        for line, said in told.items()
        if (right := known[said]) and line in results and not results[line].error
    )
    rows = pairs.total()
    if not rows:
        return None
    hits = sum(count for (truth, answer), count in pairs.items() if truth == answer)
    low, high = wilson(hits, rows)
    return Agreement(
        accuracy=hits / rows,
        low=low,
        high=high,
        rows=rows,
        skipped=len(table.rows) - rows,
        confusion=dict(pairs),
    )


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); few rows and extreme shares are no harm."""
    share, z = hits / rows, QUANTILE
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    spread = (
        z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    )
    return max(0.0, middle - spread), min(1.0, middle + spread)
