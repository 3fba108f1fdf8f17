"""Values of data files as text, and what is said of those that are none."""

from __future__ import annotations

import math
from typing import Any

import regex

from core.statement import Statement, statement

HALF_CHARACTER = regex.compile(r"[\ud800-\udfff]")


def plain(value: Any) -> str | None:
    """Text as it is, and whole numbers as digits (label columns often hold them)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # what spreadsheets and data frames make of a whole number
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list) and len(value) == 1:
        return plain(value[0])  # what annotation tools make of a single label
    return value if isinstance(value, str) else None


def kind_of(value: Any) -> Statement:
    """What is wrong with a value that is no text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return statement("row.missing", "missing")
    if isinstance(value, list):
        return statement("row.list", "a list of {count}, not one text", count=len(value))
    return statement("row.no_text", "a {type}, not text", type=type(value).__name__)


def problem_of(text: str) -> tuple[Statement, Statement] | None:
    """What keeps a text from being used, and what to do; None where nothing does."""
    if not text.strip():
        return (
            statement("row.empty", "empty"),
            statement("row.empty.fix", "Fill it or delete the row."),
        )
    if "\ufffd" in text:
        return (
            statement("row.mark", "holds the mark of a broken encoding (U+FFFD)"),
            statement("row.mark.fix", "Export the row again as UTF-8."),
        )
    if HALF_CHARACTER.search(text):
        return (
            statement("row.half", "holds half a character (a lone surrogate)"),
            statement("row.half.fix", "Write the row again."),
        )
    if "\x00" in text:
        return (
            statement("row.nul", "holds a NUL character"),
            statement("row.nul.fix", "Remove it."),
        )
    return None
