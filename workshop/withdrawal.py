"""Consent that is taken back: the words go from the queue and from the files of trainings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Set
from pathlib import Path
from typing import get_args

from workshop.review_row import Status
from workshop.rows import ReviewStore
from workshop.selection import HELD_OUT, TRAINING


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
    for name in (TRAINING, HELD_OUT):
        for file in store.file.parent.glob(f"jobs/*/{name}"):
            _without(file, gone)
    return store.withdraw(rater, gone)  # last: what is cut off before can be done again


def _without(file: Path, gone: Set[str]) -> None:
    """Leave those rows out of a file; one that has none of them stays as it is."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line).get("id") not in gone]
    if len(kept) < len(lines):
        beside = file.with_name(f".{file.name}.writing")
        beside.write_text("".join(kept), encoding="utf-8")
        os.replace(beside, file)
