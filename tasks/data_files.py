"""A data file of any form, read by its ending or its content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from tasks import encodings, json_records, separated
from tasks.records import Records, column_names, doubled

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
        sheet: of a workbook; its first by default.
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
        return _sheet(name, raw, form.sheet)
    if raw.startswith(b"PAR1") or suffix == ".parquet":
        return _parquet(name, raw)
    if raw.startswith(OLD_EXCEL):
        raise InputError(f"{name} is a workbook of an old Excel. Save it as .xlsx.")
    decoded = encodings.decode(name, raw, form.encoding, columns)
    if suffix in JSON:
        records = json_records.read(name, decoded.text)
    else:
        default = form.delimiter or ("," if suffix == ".csv" else "\t")
        said = form.delimiter is not None
        records = separated.read(name, decoded.text, default, () if said else columns, said)
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
        rows = parquet.read_table(io.BytesIO(raw)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{name} cannot be read as Parquet: {error}") from error
    return Records([*enumerate((_cell(row) for row in rows), 1)])


def _sheet(name: str, raw: bytes, sheet: str | None) -> Records:
    """A sheet of a workbook: what its formulas came to, not the formulas."""
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an .xlsx workbook: {error}") from error
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(f"{name} has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}.")
    wanted = book[sheet or book.sheetnames[0]]
    wanted.reset_dimensions()  # some programs write wrong ones
    rows = [
        (number, [_cell(value) for value in row])
        for number, row in enumerate(wanted.iter_rows(values_only=True), 1)
        if any(value is not None for value in row)
    ]
    if not rows:
        raise InputError(f"{name}: the sheet {wanted.title!r} is empty.")
    names = column_names(rows[0][1])
    records = Records(doubled=doubled(names), header=names)
    if sheet is None and len(book.sheetnames) > 1:
        others = ", ".join(repr(title) for title in book.sheetnames[1:])
        records.notes.append(f"{name}: the sheet {wanted.title!r} was read, not {others} (sheet=).")
    for number, row in rows[1:]:
        values = row + [None] * (len(names) - len(row))
        pairs = zip(names, values, strict=False)
        records.found.append((number, {key: value for key, value in pairs if key}))
    return records


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
