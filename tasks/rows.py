"""Read data files into rows; what cannot be used is refused with its line, column and a fix.

Training and evaluation read their files here, so that a row means the same to both.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import regex
from pydantic import BaseModel, ConfigDict, Field

from core.errors import InputError
from tasks.messages import read_history, split_conversation
from tasks.spec import Message, TaskSpec

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")
QUOTE_ADVICE = "Put double quotes around text that holds separators, quotes or line ends."


class Layout(BaseModel):
    """What the columns of a data set mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, str] = Field(
        {},
        description="file column -> role (text, answer, context of the text, history, messages, "
        "labels, or a slot); empty: the task's own",
    )
    fills: dict[str, str] = Field({}, description="slot -> value, where no column gives it")
    answers: dict[str, str] = Field({}, description="answer in the file -> answer to learn")
    answer: str | None = Field(None, description="the answer of every row")
    only: list[str] | None = Field(
        None, min_length=1, description="answers to learn; rows with others are left out"
    )


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
class Table:
    """What a file held."""

    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def add(self, result: Row | Refusal) -> None:
        """Put it where it belongs."""
        if isinstance(result, Row):
            self.rows.append(result)
        else:
            self.refused.append(result)

    def wanted(self, layout: Layout) -> Table:
        """Without the rows whose answer is not among those that the layout names."""
        if layout.only is None:
            return self
        return Table([row for row in self.rows if row.answer in layout.only], self.refused)


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


def read(path: Path, layout: Layout, task: TaskSpec | None = None) -> Table:
    """Read every row of a local file. The task's columns count where the layout names none.

    Raises:
        InputError: the file cannot be opened, has another format, or lacks a needed column.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path.name}: the format must be one of {', '.join(FORMATS)}.")
    roles = layout.columns or (task.columns if task else {})
    table = Table()
    try:
        for line, record in _records(path):
            if isinstance(record, Refusal):
                table.add(record)
                continue
            if not table.rows and not table.refused:
                roles = _present(roles, list(record))
                _check_columns(path, record, roles, layout)
            result = _row(line, record, roles, layout)
            table.add(result)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return table.wanted(layout)


def read_hub(
    name: str | None, subset: str | None, split: str, layout: Layout, task: TaskSpec
) -> Table:
    """Read a split of a hub data set.

    Raises:
        InputError: it cannot be had.
    """
    import datasets

    try:
        data = datasets.load_dataset(name, subset, split=split)
    except Exception as error:
        raise InputError(
            f"The data set {name!r} could not be loaded: {str(error).splitlines()[0]} "
            "Check the name and the network, or put a local file in its place with data=PATH."
        ) from error
    roles = _present(layout.columns or task.columns, list(data.features))
    named = {
        column: feature.int2str
        for column, feature in data.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    table = Table()
    for number, record in enumerate(data, 1):
        plain = {k: named[k](v) if k in named and v >= 0 else v for k, v in record.items()}
        table.add(_row(number, plain, roles, layout))
    return table.wanted(layout)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any] | Refusal]]:
    if path.suffix == ".parquet":
        import pandas

        for number, record in enumerate(pandas.read_parquet(path).to_dict("records"), 1):
            yield number, {str(key): value for key, value in record.items()}
    elif path.suffix == ".jsonl":
        yield from _json_lines(path)
    else:
        yield from _separated(path, "\t" if path.suffix == ".tsv" else ",")


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | Refusal]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            text, refusal = _decoded(number, raw)
            if refusal:
                yield number, refusal
            elif text.strip():
                yield number, _parsed(number, text)


def _decoded(number: int, raw: bytes) -> tuple[str, Refusal | None]:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8"), None
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", errors="replace").strip()
        reason = f"byte {error.start + 1} is not UTF-8 ({raw[error.start]:#04x})"
        return "", Refusal(number, "", reason, "Save the file as UTF-8.", shown)


def _parsed(number: int, text: str) -> dict[str, Any] | Refusal:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"not JSON at character {error.colno} ({error.msg})"
        return Refusal(number, "", reason, "Write one JSON object a line.", text.strip())
    if not isinstance(record, dict):
        reason = f"a {type(record).__name__}, not an object"
        return Refusal(number, "", reason, 'Write {"text": ..., ...}.', text.strip())
    return record


def _separated(path: Path, mark: str) -> Iterator[tuple[int, dict[str, Any] | Refusal]]:
    bad: list[tuple[int, Refusal]] = []

    def lines() -> Iterator[str]:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                text, refusal = _decoded(number, raw)
                if refusal:
                    bad.append((number, refusal))
                else:
                    yield text

    reader = csv.DictReader(lines(), delimiter=mark, strict=True)
    columns = len(reader.fieldnames or ())
    while True:
        try:
            record: dict[Any, Any] = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            number = reader.line_num + len(bad)
            yield number, Refusal(number, "", f"not {path.suffix[1:]} ({error})", QUOTE_ADVICE)
            continue
        number = reader.line_num + len(bad)
        if None in record or None in record.values():
            count = columns + len(record.get(None, ())) - list(record.values()).count(None)
            raw = mark.join(str(value) for value in record.values())
            reason = f"{count} columns where the header has {columns}"
            yield number, Refusal(number, "", reason, QUOTE_ADVICE, raw)
        else:
            yield number, record
    yield from bad


def _present(roles: dict[str, str], columns: list[str]) -> dict[str, str]:
    """The roles without columns that are absent where another column has the same role."""
    filled = {role for column, role in roles.items() if column in columns}
    return {c: role for c, role in roles.items() if c in columns or role not in filled}


def _check_columns(
    path: Path, record: dict[str, Any], roles: dict[str, str], layout: Layout
) -> None:
    column_of = {role: column for column, role in roles.items()}
    if "messages" in column_of:
        return
    needed = [column_of.get("text", "text")]
    if layout.answer is None:
        needed.append(column_of.get("answer", "answer"))
    missing = [column for column in needed if column not in record]
    if missing:
        raise InputError(
            f"{path.name} has no column {missing[0]!r}; it has {', '.join(record)}. "
            "Name them in the recipe: `columns: {their name: text, their name: answer}` "
            "(an evaluation: `--column 'their name=text'`)."
        )


def _row(line: int, record: dict[str, Any], roles: dict[str, str], layout: Layout) -> Row | Refusal:
    columns = {role: column for column, role in roles.items()}
    try:
        if "messages" in columns:
            record, roles = split_conversation(record, columns["messages"], roles)
            columns = {role: column for column, role in roles.items()}
        history = read_history(record.get(columns["history"])) if "history" in columns else ()
        labels = _label_list(record.get(columns["labels"])) if "labels" in columns else ()
    except InputError as error:
        raw = json.dumps(record, ensure_ascii=False, default=str)
        return Refusal(line, "", str(error), "See docs/finetune.md for the forms.", raw)
    slots = dict(layout.fills)
    content: dict[str, str] = {} if layout.answer is None else {"answer": layout.answer}
    raw = json.dumps(record, ensure_ascii=False, default=str)
    before = ""
    for column, role in roles.items():
        if role == "answer" and layout.answer is not None:
            continue
        if role in {"history", "labels"}:
            continue
        value = record.get(column)
        if role == "context":
            before = (_plain(value) or "").strip()
            continue
        if role not in {"text", "answer"}:
            if value is not None:
                slots[role] = str(value)
            continue
        text = _plain(value)
        if text is None:
            kind = "missing" if value is None else f"a {type(value).__name__}, not text"
            return Refusal(line, column, kind, "Give it a text.", raw)
        if problem := _problem(text):
            return Refusal(line, column, *problem, raw)
        content[role] = text.strip()
    answer = layout.answers.get(content["answer"], content["answer"])
    text = f"{before}\n\n{content['text']}" if before else content["text"]
    return Row(text, answer, slots, line, history, labels)


def _label_list(value: Any) -> tuple[str, ...]:
    """The label list of a row.

    Raises:
        InputError: it is no list of two or more texts.
    """
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise InputError("`labels` must be a list of texts")
    labels = tuple(dict.fromkeys(label.strip() for label in value if label.strip()))
    if len(labels) < 2:
        raise InputError(f"`labels` needs two labels at least, not {len(labels)}")
    return labels


def _plain(value: Any) -> str | None:
    """Text as it is and whole numbers as digits (label columns often hold them)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def _problem(text: str) -> tuple[str, str] | None:
    if not text.strip():
        return "empty", "Fill it or delete the row."
    if "\ufffd" in text:
        return "holds the mark of a broken encoding (U+FFFD)", "Export the row again as UTF-8."
    if "\x00" in text:
        return "holds a NUL character", "Remove it."
    return None
