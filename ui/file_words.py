"""What is said of a file, in Chinese too: `documents/` has its sentences in English."""

from __future__ import annotations

import re
from functools import cache

from tasks.spec import Both
from ui.words import words

KINDS = ("read.", "note.")  # of keys in file_words.yaml whose phrases are whole sentences
PART = "what."  # of those that stand in the braces of others


def in_both(sentence: str) -> Both:
    """The sentence in both languages; as it is where no phrase of file_words.yaml made it."""
    for pattern, phrase in _patterns():
        if found := pattern.fullmatch(sentence):
            filled = {name: _parts().get(text, text) for name, text in found.groupdict().items()}
            return Both(en=sentence, zh=phrase.zh.format(**filled))
    return Both(en=sentence, zh=sentence)


@cache
def _patterns() -> list[tuple[re.Pattern[str], Both]]:
    """The phrases as what they make; those with more words of their own first."""
    phrases = [both for key, both in words().items() if key.startswith(KINDS)]
    phrases.sort(key=lambda both: -len(re.sub(r"{\w+}", "", both.en)))
    return [(re.compile(_pattern(both.en), re.DOTALL), both) for both in phrases]


def _pattern(phrase: str) -> str:
    """Only what is known stands for `{what}`, since a file's name may have any words in it."""
    known = "|".join(map(re.escape, _parts()))
    pieces = re.split(r"{(\w+)}", phrase)
    return "".join(
        f"(?P<{piece}>{known if piece == 'what' else '.+'})" if place % 2 else re.escape(piece)
        for place, piece in enumerate(pieces)
    )


@cache
def _parts() -> dict[str, str]:
    return {both.en: both.zh for key, both in words().items() if key.startswith(PART)}
