"""The rows that ship with an adapter's recipe: some are learnt again, others judge what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_store.files import RECIPE_FILE
from core import yaml_text
from core.paths import REPOSITORY
from tasks.rows import Layout, Row, duplicate_key, read
from tasks.spec import TaskSpec

SHIPPED = REPOSITORY / "finetune"  # where the paths of recipes begin that name rows of our own


@dataclass(frozen=True)
class ShippedRow:
    """A row, and which label list its prompt shows, as a recipe says it: task, sampled or row."""

    row: Row
    labels: str


def shipped_rows(adapter: Path, task: TaskSpec) -> tuple[list[ShippedRow], list[ShippedRow]]:
    """Rows to learn again, and rows to judge on: of the files in an adapter's recipe that ship.

    A row is in one of both by a hash of its text, the same at every call: a third is learnt again,
    as ruling a small loss out takes many rows.

    Args:
        adapter: the adapter's folder.

    Returns:
        both in the order of their hashes; empty where its recipe names no such file.
    """
    by_hash = {_hash(one.row.text): one for one in _rows(adapter, task)}
    ordered = [by_hash[key] for key in sorted(by_hash)]
    judged = [one for place, one in enumerate(ordered) if place % 3]
    return ordered[::3], judged


def _rows(adapter: Path, task: TaskSpec) -> Iterator[ShippedRow]:
    file = adapter / RECIPE_FILE
    recipe = yaml_text.load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for source in recipe.get("data", ()):
        place = SHIPPED / str(source.get("path") or "")
        if place.is_file():
            labels = str(source.get("labels", "task"))
            yield from (ShippedRow(row, labels) for row in read(place, _layout(source), task).rows)


def _layout(source: dict[str, Any]) -> Layout:
    return Layout(**{name: source[name] for name in Layout.model_fields if name in source})


def _hash(text: str) -> str:
    return hashlib.sha256(duplicate_key(text).encode("utf-8", "surrogatepass")).hexdigest()
