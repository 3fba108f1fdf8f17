"""Results beside the table's own columns, as CSV, TSV, XLSX or JSON lines.

In CSV and TSV a text that a spreadsheet would take for a formula gets an apostrophe in front
(OWASP, "CSV Injection"); one that has apostrophes there already gets one more, so that taking one
away gives every cell back. A workbook says of a cell that it is text, and needs none of that.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import regex

from agent.batch.journal import RowResult
from agent.batch.table import Table
from core.errors import InputError

FORMATS = (".csv", ".tsv", ".xlsx", ".jsonl")
FORMULA = regex.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
NUMBER = regex.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?%?")
DIGITS = 4  # of a probability
MAX_CELL, MAX_ROWS = 32_767, 1_048_576  # that a workbook's cell, in characters, and sheet hold
NOT_IN_XML = regex.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
Cells = dict[str, Any]


def check_output(file: Path, table: Table) -> None:
    """See that a table can be written there, before hours are spent on it.

    Raises:
        InputError: it cannot.
    """
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"The output {file.name} must end in one of {', '.join(FORMATS)}.")
    if not file.parent.is_dir():
        raise InputError(f"There is no folder {file.parent}. Make it, or choose another output.")
    if suffix != ".xlsx":
        return
    if len(table.rows) >= MAX_ROWS:
        raise InputError(
            f"A workbook holds {MAX_ROWS - 1:,} rows, and the table has more. Choose .csv."
        )
    for row in table.rows:
        for name, value in row.cells.items():
            if isinstance(value, str) and len(value) > MAX_CELL:
                raise InputError(
                    f"Line {row.line}, column {name!r}, has {len(value):,} characters; a "
                    f"workbook's cell holds {MAX_CELL:,}. Choose an output in .csv or .jsonl."
                )


def result_columns(table: Table, task: str, labels: Sequence[str]) -> dict[str, str]:
    """What the columns of the results are called: none of the table's own names.

    Args:
        task: the one whose answers they are.
        labels: those of a task that chooses; none of one that writes.

    Returns:
        `text`, `confidence`, `adapter`, `fingerprint`, `note`, and `label:` with each label ->
        the name.
    """
    taken, number = set(table.columns), 1
    while True:
        head = task if number == 1 else f"{task}_{number}"
        names = {"text": head}
        if labels:
            names["confidence"] = f"{head}_confidence"
            names |= {f"label:{label}": f"{head}_{label}" for label in labels}
        names |= {part: f"{head}_{part}" for part in ("adapter", "fingerprint", "note")}
        if not taken & set(names.values()):
            return names
        number += 1


def merged(
    table: Table, results: Mapping[int, RowResult], names: Mapping[str, str]
) -> Iterator[Cells]:
    """Every row in its order, its own cells first; one that is not finished has no result."""
    for row in table.rows:
        cells = {name: row.cells.get(name) for name in table.columns}
        yield cells | result_cells(results.get(row.line), names)


def result_cells(result: RowResult | None, names: Mapping[str, str]) -> Cells:
    """A row's result by column."""
    cells: Cells = dict.fromkeys(names.values())
    if result is None:
        return cells
    cells[names["note"]] = result.error or " ".join(result.notes) or None
    if not result.error:
        cells[names["text"]] = result.text
        cells[names["adapter"]] = result.adapter
        cells[names["fingerprint"]] = result.fingerprint
        if result.labels and "confidence" in names:
            cells[names["confidence"]] = round(max(result.labels.values()), DIGITS)
        for label, probability in result.labels.items():
            if f"label:{label}" in names:
                cells[names[f"label:{label}"]] = round(probability, DIGITS)
    return cells


def write_output(file: Path, columns: Sequence[str], rows: Iterator[Cells]) -> None:
    """Write a table, whole or not at all.

    Raises:
        InputError: a text is too long for a workbook.
        OSError: it cannot be written.
    """
    write = _WRITERS[file.suffix.lower()]
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=file.suffix)
    os.close(handle)
    unfinished = Path(name)
    try:
        write(unfinished, columns, rows)
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def neutralized(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return "'" + value
    return value


def _separated(delimiter: str) -> Callable[[Path, Sequence[str], Iterator[Cells]], None]:
    def write(file: Path, columns: Sequence[str], rows: Iterator[Cells]) -> None:
        # Excel takes UTF-8 for something else unless its mark stands in front.
        with file.open("w", encoding="utf-8-sig", errors="replace", newline="") as stream:
            writer = csv.writer(stream, delimiter=delimiter)
            writer.writerow([neutralized(name) for name in columns])
            for cells in rows:
                writer.writerow([neutralized(_plain(cells[name])) for name in columns])

    return write


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def _workbook(file: Path, columns: Sequence[str], rows: Iterator[Cells]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Results")

    def cell(value: Any) -> Any:
        value = _plain(value)
        if not isinstance(value, str):
            return value
        if len(value) > MAX_CELL:
            raise InputError(
                f"An answer has {len(value):,} characters; a workbook's cell holds {MAX_CELL:,}. "
                "Choose an output in .csv or .jsonl."
            )
        # As the format itself writes what XML cannot hold.
        made = WriteOnlyCell(sheet, NOT_IN_XML.sub(lambda m: f"_x{ord(m[0]):04X}_", value))
        made.data_type = "s"  # and no formula
        return made

    sheet.append([cell(name) for name in columns])
    for cells in rows:
        sheet.append([cell(cells[name]) for name in columns])
    book.save(file)


def _json_lines(file: Path, columns: Sequence[str], rows: Iterator[Cells]) -> None:
    with file.open("w", encoding="utf-8", errors="replace") as stream:
        for cells in rows:
            stream.write(
                json.dumps({name: cells[name] for name in columns}, ensure_ascii=False) + "\n"
            )


def as_bytes(suffix: str, columns: Sequence[str], rows: Iterator[Cells]) -> bytes:
    """What `write_output` writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"table{suffix}"
        write_output(file, columns, rows)
        return file.read_bytes()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_WRITERS = {
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".xlsx": _workbook,
    ".jsonl": _json_lines,
}
