"""The simple classifier beside a judged adapter: its figures, and itself as a download."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core import paths
from workshop.jobs import JobFolder, Jobs, python_module, require_modules
from workshop.judging import HELD_OUT, RUNS, training_folder
from workshop.refusal import Refusal
from workshop.verdict import read_verdict

RUN = "run.json"  # of a run of `evaluation`
SECONDS = 600  # that a training of it may take; thousands of rows take seconds
LAST = 19  # of priorities


@dataclass(frozen=True)
class Accuracy:
    """A share of rows that are right, with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BaselineFigures:
    """What a judging found of TF-IDF with logistic regression, trained on the adapter's rows.

    Attributes:
        beaten: whether the gate found the adapter better by as much as it wants.
        worse: whether it is shown that the adapter is worse.
        training_rows: that the classifier learnt from.
        rows: that both answered.
        unseen: labels that no training row has.
    """

    beaten: bool
    worse: bool
    training_rows: int
    rows: int
    baseline: Accuracy
    adapter: Accuracy
    unseen: tuple[str, ...]


def read_baseline(found: JobFolder) -> BaselineFigures | None:
    """The figures of a finished judging; None where there was no baseline."""
    verdict = read_verdict(found.folder) or {}
    passed = {check["name"]: check["passed"] for check in verdict.get("checks", ())}
    file = found.folder / f"{HELD_OUT}-{RUNS[0]}" / RUN
    if "baseline" not in passed or not file.is_file():
        return None
    baseline = json.loads(file.read_text(encoding="utf-8")).get("baseline") or {}
    compared = baseline.get("compared")
    if not compared:
        return None
    return BaselineFigures(
        beaten=passed["baseline"],
        worse=compared["verdict"] == "worse",
        training_rows=baseline["training_rows"],
        rows=compared["difference"]["rows"],
        baseline=_accuracy(compared["baseline"]),
        adapter=_accuracy(compared["adapter"]),
        unseen=tuple(baseline["unseen"]),
    )


def classifier_zip(jobs: Jobs, found: JobFolder) -> bytes:
    """The classifier as a ZIP archive, trained anew from the rows that are there now.

    No copy of it is kept here: it has words of its rows, and these can be taken back.

    Raises:
        Refusal: it cannot be made; `evaluation` is not here.
    """
    require_modules()
    job = found.job
    run = found.folder / f"{HELD_OUT}-{RUNS[0]}"
    rows = training_folder(jobs, job.adapter) or found.folder
    command = ["evaluation", "baseline", str(run), "--data-folder", str(rows), "--save", "-"]
    with subprocess.Popen(
        python_module(command), cwd=paths.REPOSITORY, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        with suppress(OSError, AttributeError):  # the chat goes first
            os.setpriority(os.PRIO_PROCESS, child.pid, LAST)
        try:
            archive, said = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise _refusal(f"It took more than {SECONDS} seconds.") from error
    if child.returncode:
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        raise _refusal(lines[-1].removeprefix("error: ") if lines else f"Code {child.returncode}.")
    return archive


def _refusal(why: str) -> Refusal:
    return Refusal(
        "baseline",
        "The simple classifier could not be made. Where rows were taken back since, or the adapter "
        "is another one, train and judge anew. {why}",
        why=why,
    )


def _accuracy(figure: dict[str, Any]) -> Accuracy:
    return Accuracy(*(figure[name] for name in ("value", "low", "high")))
