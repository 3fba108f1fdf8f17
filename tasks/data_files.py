"""A data file of any form, read by its ending or its content."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.statement import statement
from tasks import encodings, json_records, separated
from tasks.records import (
    TITLE_ROWS,
    Records,
    above_header,
    column_names,
    doubled,
    header_row,
    names_columns,
)

JSON, SEPARATED = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv", ".tab")
FORMATS = (*JSON, *SEPARATED, ".parquet", ".xlsx")
OTHERWISE = {
    ".xls": "Save it as .xlsx.",
    ".ods": "Save it as .xlsx.",
    ".gz": "Unpack it first.",
    ".zip": "Unpack it first.",
    ".txt": "Rename it to .csv or .tsv if it is a table.",
}
OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class FileForm:
    """What a person says of a file where it cannot be told.

    Attributes:
        encoding: like gb18030.
        delimiter: one character, or `tab`.
        sheet: of a workbook; its first by default that names the wanted columns.
    """

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None


def read_file(path: Path, form: FileForm | None = None, columns: Collection[str] = ()) -> Records:
    """Read every record of a local file.

    Args:
        path: the file.
        form: what a person says of it.
        columns: names wanted in its header, which tell encodings and separators apart.

    Raises:
        InputError: it cannot be opened, has another format, or is broken as a whole.
    """
    _require_format(path.name)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return read_content(path.name, raw, form, columns)


def read_content(
    name: str, raw: bytes, form: FileForm | None = None, columns: Collection[str] = ()
) -> Records:
    """Read every record of a file whose content is at hand. As `read_file`.

    Raises:
        InputError: it has another format, or is broken as a whole.
    """
    _require_format(name)
    form, suffix = form or FileForm(), Path(name).suffix.lower()
    if raw.startswith(b"PK\x03\x04") or suffix == ".xlsx":
        return _sheet(name, raw, form.sheet, columns)
    if raw.startswith(b"PAR1") or suffix == ".parquet":
        return _parquet(name, raw)
    if raw.startswith(OLD_EXCEL):
        raise InputError(f"{name} is a workbook of an old Excel. Save it as .xlsx.")
    decoded = encodings.decode(name, raw, form.encoding, columns)
    if suffix in JSON:
        records = json_records.read(name, decoded.text, columns)
    else:
        default = form.delimiter or ("," if suffix == ".csv" else "\t")
        said = form.delimiter is not None
        records = separated.read(name, decoded.text, default, columns, said)
    records.notes += [decoded.note] if decoded.note else []
    return records


def _require_format(name: str) -> None:
    suffix = Path(name).suffix.lower()
    if suffix not in FORMATS:
        hint = OTHERWISE.get(suffix, "")
        raise InputError(f"{name}: the format must be one of {', '.join(FORMATS)}. {hint}".rstrip())


def _parquet(name: str, raw: bytes) -> Records:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(raw))
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{name} cannot be read as Parquet: {error}") from error
    named = _label_names(table.schema.metadata or {})
    for row in rows:
        for column, labels in named.items():
            if isinstance(number := row.get(column), int) and 0 <= number < len(labels):
                row[column] = labels[number]
    return Records([*enumerate((_cell(row) for row in rows), 1)])


def _label_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> names of its numbers, where `datasets` wrote the file: its ClassLabel features."""
    try:
        told = json.loads(metadata.get(b"huggingface", b"{}"))
        features = told["info"]["features"].items()
        return {
            column: [*map(str, feature["names"])]
            for column, feature in features
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _sheet(name: str, raw: bytes, sheet: str | None, columns: Collection[str]) -> Records:
    """A sheet of a workbook: what its formulas came to, not the formulas."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an .xlsx workbook: {error}") from error
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(f"{name} has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}.")
    title = sheet or _sheet_with(book, columns)
    rows = _sheet_rows(book[title])
    if not rows:
        raise InputError(f"{name}: the sheet {title!r} is empty or holds a chart.")
    begin = _header_place(rows, columns)
    names = column_names(rows[begin][1])
    records = Records(doubled=doubled(names), header=names)
    if sheet is None and len(book.sheetnames) > 1:
        others = ", ".join(repr(one) for one in book.sheetnames if one != title)
        records.notes.append(
            statement(
                "file.sheet",
                "{file}: the sheet {sheet} was read, not {others} (sheet=).",
                file=name,
                sheet=repr(title),
                others=others,
            )
        )
    titles = [" ".join(filter(None, column_names(row))) for _, row in rows[:begin]]
    records.notes += above_header(name, titles)
    for number, row in rows[begin + 1 :]:
        values = row + [None] * (len(names) - len(row))
        pairs = zip(names, values, strict=False)
        records.found.append((number, {key: value for key, value in pairs if key}))
    return records


def _sheet_with(book: Any, columns: Collection[str]) -> str:
    """The first sheet that names the wanted columns, else the first."""
    titles: list[str] = book.sheetnames
    for title in titles if len(titles) > 1 else ():
        rows = _sheet_rows(book[title], TITLE_ROWS + 1)
        if rows and names_columns(column_names(rows[_header_place(rows, columns)][1]), columns):
            return title
    return titles[0]


def _header_place(rows: list[tuple[int, list[Any]]], columns: Collection[str]) -> int:
    return header_row([column_names(row) for _, row in rows[: TITLE_ROWS + 1]], columns)


def _sheet_rows(sheet: Any, most: int | None = None) -> list[tuple[int, list[Any]]]:
    """Its rows that hold anything, with their numbers: all of them, or the first."""
    if not hasattr(sheet, "reset_dimensions"):
        return []  # it is a chart
    sheet.reset_dimensions()  # some programs write wrong ones
    rows = (
        (number, [_cell(value) for value in row])
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
        if any(value is not None for value in row)
    )
    return [*islice(rows, most)]


def _cell(value: Any) -> Any:
    """As JSON could say it: dates as in ISO 8601, bytes as their UTF-8 or in hexadecimal."""
    if isinstance(value, bool | int | float | str | None):
        return value
    if isinstance(value, dict):
        return {str(key): _cell(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cell(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
