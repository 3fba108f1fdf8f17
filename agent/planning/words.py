"""Words that have a vector of their own, by which the network knows what no pattern says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from core.fingerprint import of_bytes

FILE = Path(__file__).with_name("words.txt")


@cache
def vocabulary() -> dict[str, int]:
    """Each word, in small letters and simplified characters, with its row in the table."""
    return {word: row for row, word in enumerate(FILE.read_text(encoding="utf-8").split())}


def fingerprint() -> str:
    """Of the words and their order."""
    return of_bytes(FILE.read_bytes())


def of_word(word: str) -> tuple[int, ...]:
    """Rows of a word in letters; none where it has no vector."""
    row = vocabulary().get(word.casefold())
    return () if row is None else (row,)


def of_character(before: str, character: str, after: str) -> tuple[int, ...]:
    """Rows of the pairs that a Chinese or Japanese character stands in, or else its own."""
    pairs = [before + character] if before else []
    pairs += [character + after] if after else []
    for candidates in (pairs, [character]):
        rows = map(vocabulary().get, candidates)
        if found := tuple(row for row in rows if row is not None):
            return found
    return ()
