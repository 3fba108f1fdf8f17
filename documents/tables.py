"""Tables (CSV, TSV, XLSX) as rows of cells."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core.errors import InputError
from documents.document import Block
from documents.limits import ReadingLimits
from documents.text_source import lines
from tasks import separated


def separated_blocks(name: str, text: str, limits: ReadingLimits) -> tuple[list[Block], list[str]]:
    """The cells of a table with separators, and what there is to say.

    Raises:
        InputError: it has too many cells.
    """
    numbered = [(number, line) for number, (_, line) in enumerate(lines(text), 1)]
    begin = next((i for i, (_, line) in enumerate(numbered) if line.strip()), len(numbered))
    said = separated.EXCEL_SAYS.fullmatch(numbered[begin][1]) if numbered[begin:] else None
    begin += bool(said)
    header = next((line for _, line in numbered[begin:] if line.strip()), "")
    default = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    mark = said[1] if said else separated.likely_separator(header, default, ())
    reader = csv.reader((line for _, line in numbered[begin:]), delimiter=mark)

    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        line = begin + 1
        for row in reader:
            yield line, row
            line = begin + reader.line_num + 1

    found = list(_cells(name, rows(), limits))
    odd = text.count('"') % 2
    return found, [f"A quote in {name} is not closed; what follows it is one cell."] * odd


def workbook_blocks(name: str, raw: bytes, limits: ReadingLimits) -> tuple[list[Block], list[str]]:
    """The cells of all sheets: what formulas came to, dates as ISO 8601 has them.

    Raises:
        InputError: it is damaged, or has too many cells.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if hasattr(sheet, "reset_dimensions")]
        found: list[Block] = []
        for sheet in sheets:
            sheet.reset_dimensions()  # some programs write wrong ones
            rows = enumerate(sheet.iter_rows(values_only=True), 1)
            shown = ((number, [_shown(value) for value in row]) for number, row in rows)
            cells = list(_cells(name, shown, limits, len(found), found[-1].row if found else 0))
            if cells and len(sheets) > 1:
                found.append(Block("heading", sheet.title, level=2, row=None))
            found += cells
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{name} is damaged: it cannot be read as a workbook. Save it anew."
        ) from error
    return found, []


def _cells(
    name: str,
    rows: Iterable[tuple[int, Sequence[str]]],
    limits: ReadingLimits,
    before: int = 0,
    last_row: int | None = 0,
) -> Iterator[Block]:
    """Args:
    before: cells that were read already.
    last_row: number of the row before.
    """
    count, number = before, last_row or 0
    for line, row in rows:
        number += 1
        for cell in row:
            if text := cell.strip():
                count += 1
                if count > limits.cells:
                    raise InputError(
                        f"{name} has more than {limits.cells:,} cells; at most so many are read as "
                        "a text. Have its rows worked on one by one instead, or attach a part."
                    )
                yield Block("table", text, row=number, line=line)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
