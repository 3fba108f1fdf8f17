"""What a judging found: the gate's verdict, and the rows that were answered otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.judging import HELD_OUT, RUNS, VERDICT

ROWS = "rows.jsonl"  # of a run of `evaluation`


@dataclass(frozen=True)
class ChangedRow:
    """A row with another answer than before.

    Attributes:
        line: of the judged file.
        slots: what the prompt was filled with, like languages.
        change: its figure after less before.
    """

    line: int
    text: str
    slots: dict[str, str]
    right: str
    before: str
    after: str
    change: float


def read_verdict(folder: Path) -> dict[str, Any] | None:
    """What `evaluation gate --json` said; None before it did."""
    file = folder / VERDICT
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def changed_rows(folder: Path) -> list[ChangedRow]:
    """Rows kept to judge on that were answered otherwise, the worst first."""
    after, before = ({row["line"]: row for row in _rows(folder, side)} for side in RUNS)
    found = []
    for line in sorted(after.keys() & before.keys()):
        new, old = after[line], before[line]
        if new.get("answer") != old.get("answer"):
            change = _figure(new) - _figure(old)
            found.append(
                ChangedRow(
                    line, new["text"], new.get("slots", {}), new["reference"], old["answer"],
                    new["answer"], change,
                )
            )  # fmt: skip
    return sorted(found, key=lambda row: row.change)


def _figure(row: dict[str, Any]) -> float:
    score = row.get("score")
    return float(row["answer"] == row["reference"]) if score is None else float(score)


def _rows(folder: Path, side: str) -> Iterator[dict[str, Any]]:
    file = folder / f"{HELD_OUT}-{side}" / ROWS
    for text in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            row = json.loads(text)
        except ValueError:
            return  # half a line: the run goes on
        if not row.get("error"):
            yield row
