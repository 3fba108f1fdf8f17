"""Numbers about a text that tell nothing of its words, by which drift of the input is seen."""

from __future__ import annotations

import regex

WORD = regex.compile(r"\p{Han}|(?:(?!\p{Han})[\p{L}\p{M}\p{N}])+")
LETTER = regex.compile(r"\p{L}")
READ = 20_000  # characters that decide; of a book its beginning is like the rest


def text_numbers(text: str) -> dict[str, float]:
    """Length in characters, mean length of a word in characters, share of letters.

    A Han character counts as a word. An empty text is 0, 0, 0.
    """
    begin = text[:READ]
    words = WORD.findall(begin)
    return {
        "length": float(len(text)),
        "word_length": sum(map(len, words)) / max(1, len(words)),
        "letters": len(LETTER.findall(begin)) / max(1, len(begin)),
    }
