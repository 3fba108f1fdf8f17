"""Whether a candidate does harm to what else the chat answers: non-inferiority on other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import sequential
from core.errors import InputError
from core.sequential import Evidence
from evaluation import compare, record, row_scores
from evaluation.record import Run

Pair = tuple[Path, Path]  # folders of the candidate's run, and of the run of what is in place


@dataclass(frozen=True)
class Elsewhere:
    """A candidate on other rows than those it was made for.

    Attributes:
        task, data: what was judged, by the names of task and file.
        score: what the evidence is the difference of.
        failed: share of the rows that the candidate has no answer for.
        changed: what was asked differently, apart from the adapter.
        evidence: `better` is here: a loss of the margin or more is ruled out; `not better`: it is
            shown.
    """

    task: str
    data: str
    score: str
    failed: float
    changed: dict[str, tuple[Any, Any]]
    evidence: Evidence


def look(pairs: Sequence[Pair], candidate: Run, alpha: float, margin: float) -> list[Elsewhere]:
    """Look at other pairs of runs of a candidate.

    All have to pass, so each may be tested at the whole of alpha (an intersection-union test,
    Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982).

    Args:
        pairs: of finished runs, each over the same rows.
        candidate: the run that it is to be promoted for.
        alpha: largest chance, over all looks, that a loss of `margin` or more passes.
        margin: of the rows' scores, from 0 to 1.

    Raises:
        InputError: a folder holds no finished run, two did not judge the same rows, or another
            adapter than the candidate answered.
    """
    return [_look(pair, candidate, alpha, margin) for pair in pairs]


def _look(pair: Pair, candidate: Run, alpha: float, margin: float) -> Elsewhere:
    new, old = (record.read(folder) for folder in pair)
    _require_candidate(pair[0], new, candidate)
    first, second = compare.same_rows(pair[1], pair[0])
    scores = row_scores.differences(new.primary, first, second)
    return Elsewhere(
        new.settings.task_name,
        new.settings.data,
        scores.name,
        new.failed / new.settings.rows,
        compare.changed(old, new),
        sequential.judge(scores.values, alpha, -margin),
    )


def _require_candidate(folder: Path, run: Run, candidate: Run) -> None:
    """Raises InputError: another adapter answered."""
    judged, wanted = (one.settings.fingerprints.get("adapter") for one in (run, candidate))
    if judged != wanted:
        raise InputError(
            f"{folder} judged {run.settings.judged}, and {candidate.settings.judged} is to be "
            f"promoted. Judge it there too: python -m evaluation run --task "
            f"{run.settings.task_name} --adapter {candidate.settings.adapter or 'base'} ..."
        )
