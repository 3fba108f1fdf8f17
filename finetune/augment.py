"""Slips of the keyboard in rows to learn: what people type, with the label it keeps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from typo import StrErrer

from tasks.rows import Row

SLIPS = ("char_swap", "missing_char", "extra_char", "nearby_char", "skipped_space", "repeated_char")


def typos(rows: Sequence[Row], share: float, rng: random.Random) -> list[Row]:
    """The rows, a share of them (0 to 1) with one or two slips in the text.

    Only letters of the Latin alphabet have neighbours on the library's keyboard; other text only
    changes by swapped, repeated or left-out characters.
    """
    if not share:
        return list(rows)
    return [_slipped(row, rng) if rng.random() < share else row for row in rows]


def _slipped(row: Row, rng: random.Random) -> Row:
    text = row.text
    for slip in rng.choices(SLIPS, k=rng.choice((1, 2))):
        text = getattr(StrErrer(text, seed=rng.getrandbits(32)), slip)().result
    return replace(row, text=text if text.strip() else row.text)
