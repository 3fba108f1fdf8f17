"""Statements in both languages: the English is their own, the Chinese is in the words."""

from __future__ import annotations

from collections.abc import Sequence

from core.statement import Statement, in_english
from tasks.spec import Both
from ui.words import words


def in_both(said: Sequence[Statement]) -> Both:
    """Sentences one after another; one without Chinese words is English in both."""
    return Both(en=in_english(said), zh="".join(map(_chinese, said)))


def _chinese(one: Statement) -> str:
    found = words().get(f"said.{one.key}")
    try:
        if found:
            return found.zh.format(**{name: _term(name, of) for name, of in one.fills.items()})
    except KeyError:
        pass  # another version made it, with other values
    return f" {one.english} "


def _term(name: str, value: str) -> str:
    """What a value is called in Chinese; most are numbers, or names that people gave."""
    found = words().get(f"term.{name}.{value}")
    return found.zh if found else value
