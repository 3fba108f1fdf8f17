"""One record of a data file, as read, and what is said of one that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import regex

from core.errors import InputError
from core.statement import Statement, in_english, statement

Record = dict[str, Any]  # column -> value
AROUND = regex.compile(r"^[\s\p{Cf}]+|[\s\p{Cf}]+$")
LINES_SHOWN = 5
TITLE_ROWS = 10  # rows above a header, as far as one is looked for


class RowError(InputError):
    """A row has not the form that it needs.

    Attributes:
        said: why not, with its parts.
    """

    def __init__(self, key: str, message: str, **fills: object) -> None:
        self.said = statement(key, message, **fills)
        super().__init__(self.said.english)


@dataclass(frozen=True)
class Refusal:
    """A row that cannot be used: where, why, what to do, and the row as it was read."""

    line: int
    column: str
    reason: Statement
    fix: Statement
    raw: str = ""

    def __str__(self) -> str:
        return in_english(self.said([self.line]))

    def said(self, lines: Sequence[int]) -> list[Statement]:
        """Of rows that cannot be used for the same reason: which, why, what to do."""
        ended = replace(self.reason, english=f"{self.reason.english}.")
        return [self._where(lines), ended, self.fix]

    def _where(self, lines: Sequence[int]) -> Statement:
        shown = ", ".join(map(str, lines[:LINES_SHOWN]))
        shown += ", …" if len(lines) > LINES_SHOWN else ""
        count, column = f"{len(lines):,}", repr(self.column)
        if len(lines) > 1 and self.column:
            return statement(
                "row.lines_column",
                "{count} lines ({lines}), column {column}:",
                count=count,
                lines=shown,
                column=column,
            )
        if len(lines) > 1:
            return statement("row.lines", "{count} lines ({lines}):", count=count, lines=shown)
        if self.column:
            return statement(
                "row.line_column", "line {line}, column {column}:", line=shown, column=column
            )
        return statement("row.line", "line {line}:", line=shown)

    def to_json(self) -> dict[str, Any]:
        """As plain data for people, in English."""
        return vars(self) | {"reason": self.reason.english, "fix": self.fix.english}


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
    notes: list[Statement] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain data, for another process."""
        found = [
            (line, None, asdict(one)) if isinstance(one, Refusal) else (line, one)
            for line, one in self.found
        ]
        return vars(self) | {"found": found, "notes": list(map(asdict, self.notes))}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Records:
        """From what `to_json` gave."""
        found = [
            (line, _refusal(**refused[0]) if refused else record)
            for line, record, *refused in told["found"]
        ]
        notes = [Statement(**note) for note in told["notes"]]
        return cls(**told | {"found": found, "notes": notes})


def _refusal(reason: dict[str, Any], fix: dict[str, Any], **others: Any) -> Refusal:
    return Refusal(reason=Statement(**reason), fix=Statement(**fix), **others)


def not_utf8(line: int, broken: tuple[int, int], raw: str) -> Refusal:
    """Of a row with a byte that is no UTF-8: which in the line, and its value."""
    place, value = broken
    reason = statement(
        "row.byte", "byte {place} is not UTF-8 ({value})", place=place, value=f"{value:#04x}"
    )
    return Refusal(line, "", reason, statement("row.byte.fix", "Save the file as UTF-8."), raw)


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


def above_header(name: str, titles: Sequence[str]) -> list[Statement]:
    """What is to be said of rows that stand above a header."""
    if not titles:
        return []
    return [
        statement(
            "file.titles",
            "{file}: what stands above the names of the columns is not read: {titles}",
            file=name,
            titles=" / ".join(titles),
        )
    ]
