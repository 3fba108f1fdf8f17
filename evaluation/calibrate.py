"""The calibration of an adapter that chooses, fitted on judged rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapter_store.calibration import Calibration, read_calibration, write_calibration
from adapter_store.discovery import find_adapter
from adapter_store.files import fingerprint_of
from core.errors import InputError
from evaluation import choice_metrics, figures, record
from evaluation.record import Outcome, Run


@dataclass(frozen=True)
class Fitted:
    """What was fitted, and accuracy and log loss of all rows together before and after."""

    calibration: Calibration
    accuracy: tuple[float, float]
    log_loss: tuple[float, float]


def calibrate(folders: Sequence[Path]) -> Fitted:
    """Fit a temperature, and a bias for each label, and put both beside the adapter.

    The rows of all runs count alike. Biases are fitted where every row had the task's own labels; a
    list of other labels has none. New ones are added to those that the runs were judged with.

    Args:
        folders: runs of one adapter that chooses, as it stands now.

    Raises:
        InputError: the runs judged something else, or the adapter has changed since.
    """
    runs = [record.read(folder) for folder in folders]
    names = {run.settings.adapter for run in runs}
    name = runs[0].settings.adapter
    if len(names) > 1 or name is None:
        judged = ", ".join(run.settings.judged for run in runs)
        raise InputError(f"Calibrated is one adapter, by its own runs; these judged {judged}.")
    folder = find_adapter(name)
    before = read_calibration(folder)
    current = {"adapter": fingerprint_of(folder), **before.fingerprints}
    for path, run in zip(folders, runs, strict=True):
        _require_current(path, run, current)
    outcomes = [row for path in folders for row in record.outcomes(path) if not row.error]
    scores = figures.label_scores(outcomes)
    if all(run.settings.labels == "" for run in runs) and _one_list(outcomes):
        temperature, biases = choice_metrics.fit_vector_scaling(scores)
    else:
        temperature, biases = choice_metrics.fit_temperature(scores), {}
    moved = scores.moved(biases)
    fitted = Calibration(
        temperature=round(temperature, 4),
        biases=_sum(before.biases, biases),
        data=", ".join(run.settings.data for run in runs),
        sha256=", ".join(run.settings.sha256 for run in runs),
        rows=len(outcomes),
    )
    write_calibration(folder, fitted)
    return Fitted(
        fitted,
        (float(scores.right.mean()), float(moved.right.mean())),
        (
            choice_metrics.log_loss(scores, before.temperature).over_all(),
            choice_metrics.log_loss(moved, temperature).over_all(),
        ),
    )


def _require_current(folder: Path, run: Run, current: dict[str, str]) -> None:
    if run.status != "finished" or run.chosen is None:
        raise InputError(f"{folder} holds no finished run of a task that chooses.")
    judged = {key: run.settings.fingerprints.get(key) for key in {*current, "biases"}}
    if judged != {"biases": None, **current}:
        raise InputError(
            f"{folder}: the adapter or its biases have changed since it was judged. Judge it again."
        )


def _one_list(outcomes: Sequence[Outcome]) -> bool:
    return len({tuple(sorted(row.logprobs)) for row in outcomes}) == 1


def _sum(before: dict[str, float], more: dict[str, float]) -> dict[str, float]:
    labels = {**before, **more}
    return {label: round(before.get(label, 0) + more.get(label, 0), 4) for label in labels}
