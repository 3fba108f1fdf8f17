"""A request as it is planned and answered: no control characters, composed, not too long."""

from __future__ import annotations

import unicodedata

import regex

from core.errors import InputError

MAX_CHARACTERS = 200_000  # of a request; refused before any work is done
MAX_CONTENT = 2_000_000  # of the text to work on, where it came apart; as much as a file may hold
CONTROL = regex.compile(r"[^\P{C}\n\t\u200c\u200d\U000e0020-\U000e007f]+")


def clean(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text without control characters, in composed form, ends trimmed.

    Raises:
        InputError: nothing is left, or it has more than `most` characters.
    """
    if len(text) > most:
        raise InputError(
            f"The text has {len(text):,} characters; at most {most:,} can be read at "
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
