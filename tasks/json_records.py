"""JSON lines, JSON arrays of objects, and JSON by columns, with the line of each object."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from typing import Any

import regex

from core.errors import InputError
from core.statement import statement
from tasks import encodings
from tasks.records import Record, Records, Refusal, doubled, not_utf8

ARRAY = regex.compile(  # one array, or an object that holds little else
    r'\s*(?:\{\s*"(?:data|rows|examples|records|items|train)"\s*:\s*)?\['
)
BETWEEN = regex.compile(r"[\s,]*")


class _Twice(str):
    """A name that an object holds twice, in place of the object."""


def read(name: str, text: str, columns: Collection[str] = ()) -> Records:
    """Each object of a file of JSON lines, of one array, or of one object that holds them all.

    Args:
        columns: names wanted, which tell an object of columns from one of rows.

    Raises:
        InputError: the array is broken.
    """
    lines = list(enumerate(io.StringIO(text, newline=None), 1))
    first = next((line for _, line in lines if line.strip()), "")
    array = ARRAY.match(text)
    if array and (first.strip() == text.strip() or not _is_json(first)):
        values = _distinct(list(_array(name, text, array.end())))
    elif (first.strip() == text.strip() or not _is_json(first)) and (whole := _objects(text)):
        table = whole[0][2] if len(whole) == 1 and _is_table(whole[0][2]) else None
        values = _distinct(_unfolded(table, columns) if table else whole)
    else:
        values = ((number, line.strip(), _parsed(line)) for number, line in lines if line.strip())
    return Records([(number, _record(number, raw, value)) for number, raw, value in values])


def _array(name: str, text: str, place: int) -> Iterator[tuple[int, str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    line, counted = 1, 0
    while True:
        between = BETWEEN.match(text, place)
        place = between.end() if between else place
        line, counted = line + text.count("\n", counted, place), place
        if text[place : place + 1] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{name}: not JSON in line {error.lineno}, character {error.colno} ({error.msg}). "
                "In an array one mistake spoils what follows: mend it, or write one object a line."
            ) from error
        yield line, text[place:end], value
        place = end


def _objects(text: str) -> list[tuple[int, str, Any]]:
    """Objects one behind another, each over as many lines as it likes; none where one is broken."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    found, place, line, counted = list[tuple[int, str, Any]](), 0, 1, 0
    while (place := BETWEEN.match(text, place).end()) < len(text):  # type: ignore[union-attr]
        if text[place] != "{":
            return []
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            return []
        line, counted = line + text.count("\n", counted, place), place
        found.append((line, text[place:end], value))
        place = end
    return found


def _is_table(value: Any) -> bool:
    """Whether an object holds many records, and is not one itself."""
    if not isinstance(value, dict) or len(value) < 2:
        return False
    names, rows = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        return {*map(type, names)} == {str} and {*map(type, rows)} == {list}
    held = list(value.values())
    if all(isinstance(one, dict) for one in held):
        return len({frozenset(one) for one in held}) == 1
    if not all(isinstance(one, list) for one in held):
        return False
    plain = not any(isinstance(one, dict) for column in held for one in column)
    return plain and len({*map(len, held)}) == 1


def _unfolded(value: Record, columns: Collection[str]) -> list[tuple[int, str, Any]]:
    """The rows of a table in one object, as data frames are written: by columns, or by row."""
    if {"columns", "data"} <= value.keys():
        rows = [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    elif isinstance(first := next(iter(value.values())), list):
        rows = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    elif len({*value} & {*columns}) > len({*first} & {*columns}) or (
        not {*first} & {*columns} and len(value) < len(first)
    ):
        rows = [{name: held[key] for name, held in value.items()} for key in first]
    else:
        rows = [*value.values()]
    return [(1, json.dumps(row, ensure_ascii=False), row) for row in rows]


def _distinct(values: list[tuple[int, str, Any]]) -> Iterator[tuple[int, str, Any]]:
    """The values with their lines, or where several stand in a line with their numbers."""
    alone = len({line for line, _, _ in values}) == len(values)
    for number, (line, raw, value) in enumerate(values, 1):
        yield line if alone else number, raw, value


def _is_json(line: str) -> bool:
    return not isinstance(_parsed(line), json.JSONDecodeError)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        return error


def _object(pairs: list[tuple[str, Any]]) -> Record | _Twice:
    twice = doubled(name for name, _ in pairs)
    return _Twice(twice[0]) if twice else dict(pairs)


def _record(number: int, raw: str, value: Any) -> Record | Refusal:
    """A record, or why the value is none."""
    shown = encodings.displayable(raw)
    if broken := encodings.broken_byte(raw):
        return not_utf8(number, broken, shown)
    if isinstance(value, json.JSONDecodeError):
        reason = statement(
            "row.json", "not JSON at character {at} ({why})", at=value.colno, why=value.msg
        )
        fix = statement("row.json.fix", "Write one JSON object a line.")
        return Refusal(number, "", reason, fix, shown)
    if isinstance(value, _Twice):
        fix = statement("row.twice.fix", "Name each column once.")
        return Refusal(number, str(value), statement("row.twice", "named twice"), fix, shown)
    if not isinstance(value, dict):
        reason = statement("row.object", "a {type}, not an object", type=type(value).__name__)
        fix = statement("row.object.fix", 'Write {{"text": ..., ...}}.')
        return Refusal(number, "", reason, fix, shown)
    return value
