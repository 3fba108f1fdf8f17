"""How many pieces of an answer a request asks for: "three bullets", "in 2 sentences", 两句话."""

from __future__ import annotations

import regex

from tasks.spec import MAX_COUNT, Slot

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
CHINESE = "一二三四五六七八九十"
NUMBERS = {word: number for number, word in enumerate(ENGLISH, 1)}
NUMBERS |= {sign: number for number, sign in enumerate(CHINESE, 1)} | {"两": 2, "兩": 2}
HAN = regex.compile(r"\p{Han}")
_SPOKEN = "|".join([r"\d{1,2}", *ENGLISH])
_JOINS = "as|at|by|from|in|into|of|on|or|to|with"
# Of "2 or 3", "2-3", "at most three" the larger number counts. Two words may describe the pieces.
_ENGLISH = (
    rf"(?<![\w.,])(?P<number>{_SPOKEN})[\s-]+"
    rf"(?:(?!(?:{_SPOKEN}|{_JOINS})\b)\p{{L}}+[\s-]+){{0,2}}?"
)
_CHINESE = (
    rf"(?P<number>\d{{1,2}}|[{CHINESE}两兩])\s*(?:个|個|条|條|项|項)?"
    "(?:主要|关键|重要|简短|核心|简单)?的?"
)


def find(slot: Slot, text: str) -> tuple[str, int] | None:
    """What is counted, a choice of another slot, and how many; None where a text says no number."""
    found = [
        (match.end(), choice, number)
        for choice, words in slot.counts.items()
        for match in _pattern(words).finditer(text)
        if 0 < (number := _number(match["number"])) <= MAX_COUNT
        if number > 1 or len(match["unit"]) > 1  # 短一点 and 一条 count nothing
    ]
    if not found:
        return None
    _, choice, number = max(found)
    return choice, number


def _pattern(words: list[str]) -> regex.Pattern[str]:
    english = "|".join(word for word in words if not HAN.search(word))
    chinese = "|".join(word for word in words if HAN.search(word))
    return regex.compile(
        rf"{_ENGLISH}(?P<unit>{english})(?!\p{{L}})|{_CHINESE}(?P<unit>{chinese})", regex.I
    )


def _number(said: str) -> int:
    return int(said) if said.isdecimal() else NUMBERS[said.casefold()]
