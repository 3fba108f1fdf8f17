"""A request as it is planned and answered: no control characters, composed, not too long."""

from __future__ import annotations

import unicodedata

import regex

from core.errors import InputError

MAX_CHARACTERS = 200_000  # more than any context here holds; refused before any work is done
CONTROL = regex.compile(r"[^\P{C}\n\t\u200c\u200d\U000e0020-\U000e007f]+")


def clean(text: str) -> str:
    """The text without control characters, in composed form, ends trimmed.

    Raises:
        InputError: nothing is left, or it is longer than any context.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"The text has {len(text):,} characters; at most {MAX_CHARACTERS:,} can be read at "
            "once. Send it in parts."
        )
    cleaned = clean_or_none(text)
    if cleaned is None:
        raise InputError("There is no text to answer. Write a request and send it again.")
    return cleaned


def clean_or_none(text: str) -> str | None:
    """As `clean`, of any length, and None when nothing is left."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", CONTROL.sub("", text)).strip() or None
