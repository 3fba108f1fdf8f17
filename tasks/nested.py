"""Values within values of a record, by a path of names and places: `annotations.0.label`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

SHOWN = 12  # columns that a message names
DEPTH = 6  # names of a path, as far as paths are offered


def lookup(record: dict[str, Any], column: str) -> Any:
    """The value of a column, or of what a path leads to within one; None where there is none."""
    if column in record:
        return record[column]
    value: Any = record
    for part in column.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def holds(columns: Iterable[str], column: str) -> bool:
    """Whether a column is there, or the one that a path begins in."""
    return column in columns or column.split(".", maxsplit=1)[0] in columns


def offered(columns: Iterable[str], record: dict[str, Any]) -> str:
    """The columns, and the paths to what is within them, for a message."""
    names = [path for column in columns for path in _paths(column, record.get(column))]
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _paths(path: str, value: Any) -> Iterator[str]:
    inner: Iterable[tuple[Any, Any]] = ()
    if path.count(".") + 1 < DEPTH:
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value[:1]):
            inner = [(0, value[0])]
    found = [name for key, one in inner for name in _paths(f"{path}.{key}", one)]
    yield from found or [path]
