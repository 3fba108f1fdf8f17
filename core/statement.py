"""A sentence for a person, with its parts: the page says it in its own language by them.

Its English stands where it is made, and its Chinese in the page's words, under the same key. Both
are filled with the same values, and these are made into text once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Statement:
    """One sentence.

    Attributes:
        key: names it, for those who say it in another language; "" for words from elsewhere, like
            those of another program, which are English only.
        english: the sentence, filled.
        fills: the values in it, as they are written in any language.
    """

    key: str
    english: str
    fills: dict[str, str] = field(default_factory=dict)


def statement(key: str, template: str, /, **fills: object) -> Statement:
    """A sentence out of its key, its English with braces, and what stands in these."""
    written = {name: str(value) for name, value in fills.items()}
    return Statement(key, template.format(**written), written)


def quoted(text: str) -> Statement:
    """What somebody else said, as it is."""
    return Statement("", text)


def in_english(said: Iterable[Statement]) -> str:
    """Several sentences one after another."""
    return " ".join(one.english for one in said)
