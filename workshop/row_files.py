"""Rows in files that `finetune` and `evaluation` read: a column for each of their roles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tasks.rows import Row


def write_rows(file: Path, rows: Iterable[Row]) -> Path:
    """Write rows as JSON lines; a column is called as what it is (`tasks.rows.Layout.columns`)."""
    lines = [json.dumps(as_record(row), ensure_ascii=False) for row in rows]
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def columns_of(rows: Sequence[Row]) -> dict[str, str]:
    """The columns that `write_rows` gives them, as a recipe names them."""
    return {name: name for row in rows for name in as_record(row)}


def as_record(row: Row) -> dict[str, Any]:
    """A row by the roles of its values."""
    labels = {"labels": list(row.labels)} if row.labels else {}
    return {"text": row.text, "answer": row.answer, **row.slots, **labels}
