"""A table as a person has it: its columns, and its rows in their order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import fingerprint
from core.errors import InputError, UnknownName
from core.statement import Statement, statement
from documents import process
from tasks.data_files import FileForm, read_file
from tasks.records import Records, Refusal


@dataclass(frozen=True)
class TableRow:
    """A row. `line` is the file's, a sheet's its row; one that is `broken` has no cells."""

    line: int
    cells: dict[str, Any]
    broken: str = ""

    def text(self, column: str) -> str:
        """The cell as a text; empty where there is none."""
        value = self.cells.get(column)
        if value is None or isinstance(value, str):
            return value or ""
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Table:
    """A table that was read whole.

    Attributes:
        name: of its file.
        sha256: of the file's bytes.
        columns: by name, in order.
        notes: what a person should know of how it was read.
    """

    name: str
    sha256: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    notes: Sequence[Statement]

    def require(self, column: str) -> None:
        """See that there is such a column.

        Raises:
            UnknownName: there is none; the message lists those that there are.
        """
        if column not in self.columns:
            raise UnknownName(f"column in {self.name}", column, self.columns)


def read_table(path: Path, form: FileForm | None = None, columns: Sequence[str] = ()) -> Table:
    """Read CSV, TSV, XLSX, JSONL or Parquet.

    Args:
        path: the file.
        form: what a person says of it.
        columns: names wanted in its header, which tell encodings and separators apart.

    Raises:
        InputError: it cannot be read, holds no row, or names a column twice.
    """
    return _table(path.name, read_file(path, form, columns), fingerprint.sha256_file(path))


def read_upload(path: Path, name: str) -> Table:
    """Read a stranger's table in a process of its own, with limits. Raises as `read_table`.

    Args:
        path: the file, with the ending that says how it is read.
        name: what its owner calls it.
    """
    called = name if name.lower().endswith(path.suffix) else name + path.suffix
    records = process.read_table(called, path.read_bytes())
    return _table(name, records, fingerprint.sha256_file(path))


def _table(name: str, records: Records, sha256: str) -> Table:
    if records.doubled:
        twice = ", ".join(map(repr, records.doubled))
        raise InputError(f"{name} has more than one column named {twice}. Rename all but one.")
    header = _columns(records)
    if not header:
        raise InputError(f"{name} is empty.")
    if not records.found:
        raise InputError(f"{name} has no rows under its header.")
    notes = list(records.notes)
    if nameless := records.header.count(""):
        notes.append(
            statement(
                "file.nameless",
                "{file}: {count} of its columns have no name and are left out.",
                file=name,
                count=nameless,
            )
        )
    rows = [
        TableRow(line, {}, str(found)) if isinstance(found, Refusal) else TableRow(line, found)
        for line, found in records.found
    ]
    return Table(name, sha256, columns=header, rows=rows, notes=notes)


def _columns(records: Records) -> list[str]:
    if records.header:
        return [name for name in records.header if name]
    found = (record for _, record in records.found if not isinstance(record, Refusal))
    return list(dict.fromkeys(name for record in found for name in record))
