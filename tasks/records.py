"""One record of a data file, as read, and what is said of one that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import regex

Record = dict[str, Any]  # column -> value
AROUND = regex.compile(r"^[\s\p{Cf}]+|[\s\p{Cf}]+$")
TITLE_ROWS = 10  # rows above a header, as far as one is looked for


@dataclass(frozen=True)
class Refusal:
    """A row that cannot be used: where, why, what to do, and the row as it was read."""

    line: int
    column: str
    reason: str
    fix: str
    raw: str = ""

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", column {self.column!r}" if self.column else "")
        return f"{where}: {self.reason}. {self.fix}"


@dataclass
class Records:
    """What a file held.

    Attributes:
        found: (line, record or what is wrong with it); a sheet's line is its row.
        notes: what a person should know of how it was read.
        doubled: columns that its header names more than once.
        header: the columns as it names them, in order, a nameless one empty; none where it has no
            header.
    """

    found: list[tuple[int, Record | Refusal]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain data, for another process."""
        found = [
            (line, None, asdict(one)) if isinstance(one, Refusal) else (line, one)
            for line, one in self.found
        ]
        return vars(self) | {"found": found}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Records:
        """From what `to_json` gave."""
        found = [
            (line, Refusal(**refused[0]) if refused else record)
            for line, record, *refused in told["found"]
        ]
        return cls(**told | {"found": found})


def column_names(header: Iterable[Any]) -> list[str]:
    """Column names without the spaces and invisible characters around them."""
    return [AROUND.sub("", "" if name is None else str(name)) for name in header]


def doubled(names: Iterable[str]) -> list[str]:
    """The names that stand there more than once."""
    return [name for name, count in Counter(names).items() if name and count > 1]


def alike(name: str, columns: Iterable[str]) -> str | None:
    """The one column that has a name but for capitals."""
    same = {column for column in columns if column.casefold() == name.casefold()}
    return same.pop() if len(same) == 1 else None


def header_row(rows: Sequence[Sequence[str]], wanted: Collection[str]) -> int:
    """Which of a table's first rows names its columns: the first that has two of the wanted names.

    What stands above it is a title, a date, a line on how it was made. Without such a row it is 0.
    """
    found = (i for i, row in enumerate(rows[: TITLE_ROWS + 1]) if names_columns(row, wanted))
    return next(found, 0)


def names_columns(row: Sequence[str], wanted: Collection[str]) -> bool:
    """Whether a row has two of the wanted names at least."""
    return sum(alike(name, row) is not None for name in set(wanted)) >= 2


def above_header(name: str, titles: Sequence[str]) -> list[str]:
    """What is to be said of rows that stand above a header."""
    if not titles:
        return []
    shown = " / ".join(titles)
    return [f"{name}: what stands above the names of the columns is not read: {shown}"]
