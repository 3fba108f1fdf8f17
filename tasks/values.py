"""Values of data files as text, and what is said of those that are none."""

from __future__ import annotations

import math
from typing import Any

import regex

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


def kind_of(value: Any) -> str:
    """What is wrong with a value that is no text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    if isinstance(value, list):
        return f"a list of {len(value)}, not one text"
    return f"a {type(value).__name__}, not text"


def problem_of(text: str) -> tuple[str, str] | None:
    """What keeps a text from being used, and what to do; None where nothing does."""
    if not text.strip():
        return "empty", "Fill it or delete the row."
    if "\ufffd" in text:
        return "holds the mark of a broken encoding (U+FFFD)", "Export the row again as UTF-8."
    if HALF_CHARACTER.search(text):
        return "holds half a character (a lone surrogate)", "Write the row again."
    if "\x00" in text:
        return "holds a NUL character", "Remove it."
    return None
