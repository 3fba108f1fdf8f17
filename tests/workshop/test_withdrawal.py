"""Consent that is taken back: no word of the rows is left in the workshop's folder."""

from __future__ import annotations

import json
from pathlib import Path

from reviewing import row

from tasks.spec import load_tasks
from workshop.rows import ReviewStore
from workshop.selection import select
from workshop.withdrawal import withdraw


def test_judged_rows_go_with_their_reports(home: Path) -> None:
    store, job = ReviewStore(), home / "workshop" / "jobs" / "j1"
    store.add(
        row(f"{name}-{kept}", f"{name} ate {kept}", rater=name, held_out=kept == "soup")
        for name in ("ada", "bo")
        for kept in ("soup", "bread")
    )
    for one in store.pending():
        store.decide(one.id, "negative", "me")
    select(store, load_tasks()["sentiment"]).write(job)
    for run in ("held-out-new", "held-out-old"):
        (job / run).mkdir()
        lines = [{"line": n, "text": f"{name} ate soup"} for n, name in enumerate(("ada", "bo"))]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (job / run / "rows.jsonl").write_text(text)
        (job / run / "report.html").write_text("<p>ada ate soup</p>")
    (job / "log.txt").write_text("line 1, ada ate soup")
    (job / "check.jsonl").write_text('[{"english": "labels have a single row: ada ate soup"}]')
    (job / "training.jsonl.refused.jsonl").write_text('{"raw": "ada ate bread"}')
    (job / ".training.jsonl.writing").write_text('{"text": "ada ate br')  # of a process killed
    withdraw(store, "ada")
    files = [file for file in (home / "workshop").rglob("*") if file.is_file()]
    assert [file for file in files if b"ada ate" in file.read_bytes()] == []
    assert {f.parent.name for f in files if b"bo ate soup" in f.read_bytes()} == {
        "workshop", "j1", "held-out-new", "held-out-old",
    }  # fmt: skip
