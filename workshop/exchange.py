"""Review rows in files of other programs: CSV, TSV, XLSX, JSON lines, Label Studio, Argilla.

Which of them a file is tells itself by its content. CSV and JSON lines hold every part of a row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from agent.batch.output import FORMULA, write_output
from core.errors import InputError
from core.statement import Statement, statement
from tasks import nested
from tasks.data_files import FileForm, read_file
from tasks.records import Record, Refusal, alike
from tasks.rows import SHAPES, Layout, read
from tasks.spec import TaskSpec
from workshop import argilla, label_studio
from workshop.annotated import AnnotatedText
from workshop.review_row import ReviewRow

Format = Literal["table", "label-studio", "argilla"]
TABLES = (".csv", ".tsv", ".xlsx", ".jsonl")
COLUMNS = tuple(ReviewRow.model_fields)
NESTED = ("labels", "slots")
_OURS = {"id", "task", "text", "right", "status"}  # columns by which our own files are known


def write_rows(file: Path, rows: Sequence[ReviewRow], task: TaskSpec, form: Format) -> None:
    """Write rows, whole or not at all.

    Raises:
        InputError: the name does not end as the format wants, or a workbook cannot hold a text.
    """
    wanted = TABLES if form == "table" else (".json",)
    if file.suffix.lower() not in wanted:
        raise InputError(f"{file.name} must end in {' or '.join(wanted)} to be written as {form}.")
    if form == "table":
        write_output(file, COLUMNS, _cells(rows, file.suffix.lower() == ".jsonl"))
        return
    records = {"label-studio": label_studio.tasks_of, "argilla": argilla.records_of}[form](
        rows, task
    )
    beside = file.with_name(f".{file.name}.writing")
    beside.write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, file)


def read_annotated(
    file: Path, task: TaskSpec, layout: Layout
) -> tuple[list[AnnotatedText], list[list[Statement]]]:
    """The texts of a file in any of the forms, labelled or not.

    Args:
        layout: what its columns mean, where the task's own do not fit.

    Returns:
        the texts, and what a person should know: how it was read, and rows that cannot be used.

    Raises:
        InputError: it cannot be read, or has no column with texts.
    """
    form = FileForm(layout.encoding, layout.delimiter, layout.sheet)
    wanted = [*(layout.columns or task.columns), *(name for shape in SHAPES for name in shape)]
    known = read_file(file, form, [*wanted, *_OURS])
    records = [(line, one) for line, one in known.found if not isinstance(one, Refusal)]
    refused = [one for _, one in known.found if isinstance(one, Refusal)]
    notes = [*([note] for note in known.notes), *(one.said([one.line]) for one in refused)]
    first: Record = records[0][1] if records else {}
    text = next((column for column, role in layout.columns.items() if role == "text"), "text")
    if label_studio.is_task(first):
        return label_studio.annotated(
            [r for r in records if label_studio.is_task(r[1])], text
        ), notes
    if argilla.is_record(first):
        return argilla.annotated([r for r in records if argilla.is_record(r[1])], text), notes
    if label_studio.is_flat(first):
        return label_studio.flat(records), notes
    if set(first) >= _OURS:
        plain = file.suffix.lower() in {".csv", ".tsv"}
        return [_ours(line, record, plain) for line, record in records], notes
    meant = _layout(first, task, layout)
    unlabelled = statement(
        "file.no_answers",
        "{file} has no answers: none of {columns} is a column for them.",
        file=file.name,
        columns=", ".join(first),
    )
    table = read(file, meant, task)
    texts = [
        AnnotatedText(
            row.text, slots=_slots(row.slots, row.labels, task), suggested=row.answer, line=row.line
        )
        for row in table.rows
    ]
    notes = [[unlabelled]] if meant.answer == "" else []
    refusals = [one.said([one.line]) for one in table.refused]
    return texts, [*notes, *([note] for note in table.notes), *refusals]


def _layout(first: Record, task: TaskSpec, layout: Layout) -> Layout:
    """The layout of a file that may have no answers, and may name its texts as it likes."""
    roles = layout.columns or task.columns
    written = {alike(column, first) or column: role for column, role in roles.items()}
    there = {column: role for column, role in written.items() if nested.holds(first, column)}
    if "text" not in there.values() and not any(set(shape) <= set(first) for shape in SHAPES):
        only = next(iter(first), "") if len(first) == 1 else "text"
        there |= {only: "text"} if only in first else {}
    if "answer" in there.values() or "text" not in there.values():
        return layout
    return layout.model_copy(update={"columns": there, "answer": ""})


def _slots(said: dict[str, str], labels: tuple[str, ...], task: TaskSpec) -> dict[str, Any]:
    own = {task.labels_slot: list(labels)} if labels and task.labels_slot else {}
    return {name: value for name, value in said.items() if name in task.slots} | own


def _cells(rows: Sequence[ReviewRow], nested: bool) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = row.model_dump(mode="json")
        yield (
            values
            if nested
            else values | {name: json.dumps(values[name], ensure_ascii=False) for name in NESTED}
        )


def _ours(line: int, record: Record, plain: bool) -> AnnotatedText:
    """A row of a file that was written here; `plain`: formulas have an apostrophe in front."""
    values = {name: _given(record.get(name), plain) for name in COLUMNS}
    slots = values["slots"]
    return AnnotatedText(
        text=values["text"],
        id=values["id"],
        slots=json.loads(slots) if isinstance(slots, str) and slots else slots or {},
        suggested=values["suggested"],
        right=values["right"] if values["status"] != "declined" else "",
        by=values["by"],
        declined=values["status"] == "declined",
        line=line,
    )


def _given(value: Any, plain: bool) -> Any:
    if not isinstance(value, str):
        return "" if value is None else value
    return value[1:] if plain and value.startswith("'") and FORMULA.match(value) else value
