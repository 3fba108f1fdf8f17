"""Read data files into rows; what cannot be used is refused with its line, column and a fix.

Training and evaluation read their files here, so that a row means the same to both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field

from core.errors import InputError, UnknownName
from core.statement import Statement, statement
from core.yaml_text import Text
from tasks import hub_data, nested
from tasks.data_files import FileForm, read_file
from tasks.messages import read_history, split_conversation
from tasks.records import Record, Refusal, RowError, alike
from tasks.spec import Message, TaskSpec
from tasks.values import HALF_CHARACTER, kind_of, plain, problem_of

SHAPES = {  # columns that other tools write -> what they are
    ("messages",): {"messages": "messages"},  # OpenAI
    ("conversations",): {"conversations": "messages"},  # ShareGPT
    ("instruction", "output"): {  # Alpaca
        "instruction": "instruction",
        "input": "text",
        "output": "answer",
        "system": "system",
    },
    ("prompt", "completion"): {"prompt": "text", "completion": "answer"},
}
AROUND_TEXT = ("context", "instruction", "system")  # roles of columns
NO_SLOTS = {"text", "answer", "history", "labels", *AROUND_TEXT}


class Layout(BaseModel):
    """What the columns of a data set mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, Text] = Field(
        {},
        description="file column -> role (text, answer, context of the text, instruction, system, "
        "history, messages, labels, or a slot); empty: the task's own",
    )
    fills: dict[str, Text] = Field({}, description="slot -> value, where no column gives it")
    answers: dict[str, Text] = Field({}, description="answer in the file -> answer to learn")
    answer: Text | None = Field(None, description="the answer of every row")
    only: list[Text] | None = Field(
        None, min_length=1, description="answers to learn; rows with others are left out"
    )
    encoding: str | None = Field(None, description="of the file, where it cannot be told")
    delimiter: str | None = Field(None, description="of a table's columns: a character, or tab")
    sheet: Text | None = Field(None, description="of a workbook; its first by default")


@dataclass(frozen=True)
class Row:
    """One example: content, the answer to learn, slot values, and the line it came from.

    Attributes:
        history: earlier turns of the conversation, a system message first where there is one.
        labels: the label list that the row itself brings; empty where the data set has one list.
    """

    text: str
    answer: str
    slots: dict[str, str] = field(default_factory=dict)
    line: int = 0
    history: tuple[Message, ...] = ()
    labels: tuple[str, ...] = ()
    tokens: int = field(
        default=0, compare=False
    )  # of text, history and answer, where somebody has counted them


@dataclass
class Table:
    """What a file held.

    Attributes:
        notes: what a person should know of how it was read.
    """

    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[Statement] = field(default_factory=list)

    def add(self, result: Row | Refusal) -> None:
        """Put it where it belongs."""
        if isinstance(result, Row):
            self.rows.append(result)
        else:
            self.refused.append(result)


def duplicate_key(text: str) -> str:
    """The text without case, spacing and punctuation: two texts with one key are the same text."""
    return str(regex.sub(r"[\W_]+", "", text.casefold()))


def exchanged(row: Row, task: TaskSpec) -> Row:
    """Answer -> text, with the languages exchanged: the other direction of a translation."""
    slots = dict(row.slots)
    for name, other in (
        (task.source_slot, task.target_language(row.slots)),
        (task.target_slot, task.source_language(row.slots)),
    ):
        if name:
            slots[name] = other or ""
    return replace(row, text=row.answer, answer=row.text, slots=slots)


def drawn(rows: list[Row], take: int | None, seed: int) -> list[Row]:
    """So many of the rows, at random by the seed; all of them where there are no more."""
    return rows if take is None or take >= len(rows) else random.Random(seed).sample(rows, take)


def split(rows: list[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """The rows in an order by the seed: those to learn, and a share (0 to 1) to validate on."""
    cut = max(1, round(len(rows) * share))
    mixed = random.Random(seed).sample(rows, len(rows))
    return mixed[cut:], mixed[:cut]


def layout_of(columns: Mapping[str, str], task: TaskSpec) -> Layout:
    """The task's own columns, but for the roles that others are named for.

    Raises:
        UnknownName: a column is given a role that the task does not have.
    """
    if not columns:
        return Layout()
    roles = {"text", "answer", "context", "instruction", "messages", "labels", *task.slots}
    for role in columns.values():
        if role not in roles:
            raise UnknownName("role", role, roles)
    left = {name: role for name, role in task.columns.items() if role not in columns.values()}
    return Layout(columns={**left, **columns})


def read(path: Path, layout: Layout, task: TaskSpec | None = None) -> Table:
    """Read every row of a local file. The task's columns count where the layout names none.

    Raises:
        InputError: the file cannot be opened, has another format, or lacks a needed column.
    """
    form = FileForm(layout.encoding, layout.delimiter, layout.sheet)
    wanted = layout.columns or (task.columns if task else {})
    known = read_file(path, form, [*wanted, *(name for shape in SHAPES for name in shape)])
    first = next((record for _, record in known.found if isinstance(record, dict)), None)
    table = Table(notes=known.notes)
    roles = wanted
    if first is not None:
        roles = _roles(path.name, list(first), layout, task, first)
        if twice := [name for name in known.doubled if name in roles]:
            raise InputError(
                f"{path.name} has several columns {twice[0]!r}. Rename all but the one that is "
                "meant."
            )
    _add(table, known.found, roles, layout, task)
    return table


def read_hub(
    name: str,
    subset: str | None,
    split: str,
    layout: Layout,
    task: TaskSpec,
    revision: str | None = None,
) -> Table:
    """Read a split of a hub data set, at a revision where one is named.

    Raises:
        InputError: it cannot be had.
    """
    columns, records = hub_data.load(name, subset, split, revision)
    roles = _roles(name, columns, layout, task)
    table = Table()
    _add(table, enumerate(records, 1), roles, layout, task)
    return table


def _add(
    table: Table,
    found: Iterable[tuple[int, Record | Refusal]],
    roles: dict[str, str],
    layout: Layout,
    task: TaskSpec | None,
) -> None:
    """Make rows of the records; what is left unread of them is noted."""
    unread = 0
    for line, record in found:
        result = record if isinstance(record, Refusal) else _row(line, record, roles, layout, task)
        if isinstance(result, Row) and task and not task.conversation:
            given = result
            result = _without_history(given, task)
            unread += bool(given.history) and isinstance(result, Row)
        if isinstance(result, Refusal) or not layout.only or result.answer in layout.only:
            table.add(result)
    if task and unread:
        table.notes.append(
            statement(
                "file.system",
                "{count} rows: their system message gives way to the prompt of {task}",
                count=f"{unread:,}",
                task=task.name,
            )
        )


def _without_history(row: Row, task: TaskSpec) -> Row | Refusal:
    """The row for a task that reads no earlier turns and has a system prompt of its own."""
    if any(turn["role"] != "system" for turn in row.history):
        reason = statement(
            "row.turns", "it has earlier turns, and {task} reads none", task=task.name
        )
        fix = statement("row.turns.fix", "Leave one question and its answer.")
        return Refusal(row.line, "", reason, fix, row.text)
    return replace(row, history=())


def _roles(
    name: str,
    columns: list[str],
    layout: Layout,
    task: TaskSpec | None,
    first: Record | None = None,
) -> dict[str, str]:
    """What the columns of a file mean: as the layout says, the task, or a form that is known.

    Args:
        first: a record, which shows what is within its columns.

    Raises:
        InputError: a needed column is not there.
    """
    roles = _present(layout.columns or (task.columns if task else {}), columns)
    column_of = {role: column for column, role in roles.items()}
    if "messages" in column_of:
        return roles
    needed = [column_of.get("text", "text")]
    if layout.answer is None:
        needed.append(column_of.get("answer", "answer"))
    missing = [column for column in needed if not nested.holds(columns, column)]
    if not missing:
        return roles
    if not layout.columns:
        for shape, theirs in SHAPES.items():
            if set(shape) <= set(columns):
                return {column: role for column, role in theirs.items() if column in columns}
    raise InputError(
        f"{name} has no column {missing[0]!r}; it has {nested.offered(columns, first or {})}. "
        "Name them in the recipe: `columns: {their name: text, their name: answer}` "
        "(an evaluation: `--column 'their name=text'`)."
    )


def _present(roles: dict[str, str], columns: list[str]) -> dict[str, str]:
    """The roles by the columns as the file writes them, capitals or not.

    Columns that are absent are left out where another column has the same role.
    """
    written = {
        c if nested.holds(columns, c) else alike(c, columns) or c: role for c, role in roles.items()
    }
    filled = {role for column, role in written.items() if nested.holds(columns, column)}
    return {c: r for c, r in written.items() if nested.holds(columns, c) or r not in filled}


def _row(
    line: int, record: Record, roles: dict[str, str], layout: Layout, task: TaskSpec | None
) -> Row | Refusal:
    raw = HALF_CHARACTER.sub("\ufffd", json.dumps(record, ensure_ascii=False, default=str))
    columns = {role: column for column, role in roles.items()}
    try:
        if "messages" in columns:
            record, roles = split_conversation(record, columns["messages"], roles)
            columns = {role: column for column, role in roles.items()}
        there = {role: nested.lookup(record, column) for role, column in columns.items()}
        history = read_history(there.get("history"))
        labels = _label_list(there["labels"]) if "labels" in there else ()
    except RowError as error:
        fix = statement("row.form.fix", "See docs/finetune.md for the forms.")
        return Refusal(line, "", error.said, fix, raw)
    values = {role: plain(value) for role, value in there.items()}
    around = {role: (values.get(role) or "").strip() for role in AROUND_TEXT}
    needed = ["text", *([] if layout.answer is not None else ["answer"])]
    for role in needed:
        value = values.get(role)
        if role == "text" and around["instruction"] and not (value or "").strip():
            values["text"] = ""  # Alpaca: the instruction is all there is to read
        elif value is None:
            fix = statement("row.missing.fix", "Give it a text.")
            return Refusal(line, columns.get(role, role), kind_of(there.get(role)), fix, raw)
        elif problem := problem_of(value):
            return Refusal(line, columns[role], *problem, raw)
    answer = str(values["answer"]).strip() if layout.answer is None else layout.answer
    if around["system"]:
        history = (Message(role="system", content=around["system"]), *history)
    return Row(
        _whole_text(str(values["text"]).strip(), around, task),
        layout.answers.get(answer, answer),
        {**layout.fills, **_slots(values)},
        line,
        history,
        labels,
    )


def _slots(values: dict[str, str | None]) -> dict[str, str]:
    """The values of columns that are slots, where there is one."""
    return {
        role: value.strip()
        for role, value in values.items()
        if role not in NO_SLOTS and value is not None
    }


def _whole_text(text: str, around: dict[str, str], task: TaskSpec | None) -> str:
    """The text behind its context, and behind the instruction where the task has none itself."""
    asked = around["instruction"]
    if asked and text and task and not task.conversation:
        asked = ""
    return "\n\n".join(filter(None, (around["context"], asked, text)))


def _label_list(value: Any) -> tuple[str, ...]:
    """The label list of a row.

    Raises:
        RowError: it is no list of two or more texts.
    """
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise RowError("row.no_labels", "`labels` must be a list of texts")
    labels = tuple(dict.fromkeys(label.strip() for label in value if label.strip()))
    if len(labels) < 2:
        raise RowError(
            "row.few_labels", "`labels` needs two labels at least, not {count}", count=len(labels)
        )
    return labels
