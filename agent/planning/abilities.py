"""Questions about what can be done here, told by their words: a short list, and nothing like it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import regex

QUESTIONS = Path(__file__).with_name("abilities.txt")


def asks_for_abilities(text: str) -> bool:
    """Whether a request is one of the questions, whole: one word more is another request."""
    return len(text) <= 100 and _words(text) in _questions()


@cache
def _questions() -> frozenset[str]:
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    return frozenset(_words(line) for line in lines if not line.startswith("#"))


def _words(text: str) -> str:
    return str(regex.sub(r"[^\p{L}\p{N}]", "", text.casefold()))
