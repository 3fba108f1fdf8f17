"""Consent that is taken back: the words go from the queue, from trainings and judgings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any, get_args

from workshop.curves import forget_samples
from workshop.jobs import JOB, LOG, JobFolder
from workshop.review_row import Status
from workshop.rows import ReviewStore
from workshop.selection import HELD_OUT, TRAINING
from workshop.training import REPORT as CHECK

REPORT = "report.html"  # of a run of `evaluation`


def withdraw(store: ReviewStore, rater: str = "", ids: Iterable[str] = ()) -> list[str]:
    """Delete what a rater gave, or some rows, everywhere in the workshop's folder.

    Returns:
        the adapters that were trained on any of them, sorted: they are not changed.

    Raises:
        ReviewError: the store cannot be written.
        OSError: a file of a training cannot be.
    """
    gone = set(ids)
    if rater:
        for status in get_args(Status):
            gone |= {row.id for row in store.find(status, rater=rater)}
    for left in store.file.parent.glob("jobs/**/.*.jsonl.writing"):
        left.unlink(missing_ok=True)  # half a file, of a process that was killed
    for name in (TRAINING, HELD_OUT):
        for file in store.file.parent.glob(f"jobs/*/{name}"):
            if lost := _without(file, "id", gone):
                words = {one for record in lost for one in record.values() if isinstance(one, str)}
                _from_job(JobFolder(file.parent), words)
    return store.withdraw(rater, gone)  # last: what is cut off before can be done again


def _from_job(found: JobFolder, words: Set[str]) -> None:
    """Leave texts out of what a job made of its rows. What shows some of them goes as a whole: the
    log, what a check said, refused rows, reports, sample answers.
    """
    for shown in (LOG, CHECK):
        (found.folder / shown).unlink(missing_ok=True)
    for refused in found.folder.glob("*.refused.jsonl"):
        refused.unlink()
    for run in found.folder.glob(f"{Path(HELD_OUT).stem}-*"):
        for file in run.glob("*.jsonl"):
            _without(file, "text", words)
        (run / REPORT).unlink(missing_ok=True)
    if (found.folder / JOB).is_file():  # rows that were written for another place have none
        forget_samples(found.job.adapter)


def _without(file: Path, name: str, gone: Set[str]) -> list[dict[str, Any]]:
    """Leave records with such a value out of a file; one that has none stays as it is.

    Returns:
        those records.
    """
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    records = [(line, json.loads(line)) for line in lines]
    kept = [line for line, record in records if record.get(name) not in gone]
    if len(kept) < len(lines):
        beside = file.with_name(f".{file.name}.writing")
        beside.write_text("".join(kept), encoding="utf-8")
        os.replace(beside, file)
    return [record for _, record in records if record.get(name) in gone]
