"""Two runs over the same rows: paired differences, and a verdict in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import InputError
from evaluation import figures, record
from evaluation.intervals import Better, Difference, Statistic, mcnemar, paired
from evaluation.record import Outcome, Run, Verdict
from tasks.spec import TaskSpec, load_tasks

SIGNIFICANCE_LEVEL = 0.05  # p-value under which a difference counts as shown


@dataclass(frozen=True)
class FigureComparison:
    """One figure of both runs.

    Attributes:
        first, second: the figure over the rows that both runs answered.
        difference: second minus first.
        test: what made the p-value.
        verdict: on the second run.
    """

    name: str
    first: float
    second: float
    difference: Difference
    test: Literal["paired bootstrap", "exact McNemar"]
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Two runs over the same rows.

    Attributes:
        rows: that both answered; the figures rest on these.
        left_out: lines that one of them has no answer for.
        compared: the primary figure first.
        changed: what was asked differently, apart from the adapter.
    """

    rows: int
    left_out: list[int]
    compared: list[FigureComparison]
    changed: dict[str, tuple[Any, Any]]

    @property
    def verdict(self) -> Verdict:
        """On the second run, by the primary figure."""
        return self.compared[0].verdict

    def record(self, first: Path, second: Path) -> dict[str, Any]:
        """JSON-able."""
        runs = {"first": record.read(first), "second": record.read(second)}
        return {
            "first": str(first),
            "second": str(second),
            "verdict": self.verdict,
            "primary": self.compared[0].name,
            **asdict(self),
            "cost": {side: run.cost and run.cost.model_dump() for side, run in runs.items()},
        }


def compare(first: Path, second: Path, seed: int = 0) -> Comparison:
    """Compare two finished runs, by their folders.

    Raises:
        InputError: a folder holds no finished run, or they did not judge the same rows.
        TaskError: a task's files are wrong.
    """
    one, two = same_rows(first, second)
    runs = [record.read(folder) for folder in (first, second)]
    lines = {outcome.line for outcome in one}
    task = load_tasks().get(runs[0].settings.task_name)
    return Comparison(
        rows=len(one),
        left_out=[row.line for row in record.outcomes(first) if row.line not in lines],
        compared=[compare_figure(name, one, two, seed, task) for name in runs[0].settings.metrics],
        changed=changed(runs[0], runs[1]),
    )


def same_rows(first: Path, second: Path) -> tuple[list[Outcome], list[Outcome]]:
    """The rows of two finished runs that both answered, in the same order. Raises as `compare`."""
    runs = [_finished(folder) for folder in (first, second)]
    rows = [record.outcomes(folder) for folder in (first, second)]
    _require_same(runs[0], runs[1])
    _require_same_rows(rows[0], rows[1])
    both = answered_by_both(*rows)
    if not both[0]:
        raise InputError("There is no row that both runs answered.")
    return both


def answered_by_both(
    first: list[Outcome], second: list[Outcome]
) -> tuple[list[Outcome], list[Outcome]]:
    """Of the same rows judged twice, those that were answered both times."""
    pairs = zip(first, second, strict=True)
    both = [(a, b) for a, b in pairs if a.error is None and b.error is None]
    return [a for a, _ in both], [b for _, b in both]


def compare_figure(
    name: str,
    first: list[Outcome],
    second: list[Outcome],
    seed: int,
    task: TaskSpec | None = None,
) -> FigureComparison:
    """One figure over the same rows, answered twice; see `figures.statistic` for the task."""
    one, two = (figures.statistic(name, rows, task) for rows in (first, second))
    return compare_statistics(one, two, first, second, seed)


def compare_statistics(
    one: Statistic, two: Statistic, first: list[Outcome], second: list[Outcome], seed: int
) -> FigureComparison:
    """A figure over the same rows, answered twice; that of the second rows is judged."""
    difference = paired(one, two, seed)
    exact = one.name == "accuracy"
    if exact:
        right = ([row.answer == row.reference for row in rows] for rows in (first, second))
        difference = replace(difference, p=mcnemar(*right))
    return FigureComparison(
        one.name,
        one.over_all(),
        two.over_all(),
        difference,
        "exact McNemar" if exact else "paired bootstrap",
        _verdict(difference, one.better),
    )


def _finished(folder: Path) -> Run:
    run = record.read(folder)
    if run.status != "finished":
        raise InputError(f"The run in {folder} is not finished. Give its command again to go on.")
    return run


def _require_same(first: Run, second: Run) -> None:
    for name, what in {
        "task_name": "tasks",
        "sha256": "data files",
        "labels": "label lists",
        "reverse": "directions",
        "metrics": "figures",
    }.items():
        a, b = getattr(first.settings, name), getattr(second.settings, name)
        if a != b:
            raise InputError(
                f"The runs have different {what} ({a!r} and {b!r}); only runs over the same rows "
                "can be compared."
            )


def _require_same_rows(first: list[Outcome], second: list[Outcome]) -> None:
    a, b = ([(row.line, row.text, row.reference) for row in rows] for rows in (first, second))
    if a != b:
        shared = len(set(a) & set(b))
        raise InputError(
            f"The runs judged different rows ({len(a)} and {len(b)}, {shared} shared). Run both "
            "with the same --limit, --seed and --column."
        )


def _verdict(difference: Difference, better: Better) -> Verdict:
    if difference.p >= SIGNIFICANCE_LEVEL or better == "neither" or not difference.value:
        return "no difference shown"
    return "better" if (difference.value > 0) == (better == "higher") else "worse"


def changed(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
    """Tasks of another version, other decoding, another base or quantization."""
    a, b = first.settings.model_dump(), second.settings.model_dump()
    for asked in (a, b):
        asked.update({f"fingerprints.{k}": v for k, v in asked.pop("fingerprints").items()})
    names = sorted({*a, *b} - {"adapter", "served", "fingerprints.adapter", "fingerprints.biases"})
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}
