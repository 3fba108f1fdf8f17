"""See that an answer repeats itself, while it is written, whatever its language."""

from __future__ import annotations

import re
from collections.abc import Iterator

TAIL = 2400  # characters of an answer's end that are looked at
EVERY = 4  # pieces of text between two looks
ENDING = 16  # characters that must stand there before, for anything to repeat
# A unit of so many tokens at most must stand so many times, one after the other, and fill so many
# tokens in all. Refrains, rulers of tables and lines of code repeat less, see docs/long-texts.md.
LIMITS = ((3.0, 12, 48.0), (12.0, 6, 60.0), (40.0, 4, 80.0), (float("inf"), 3, 120.0))
_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]")
_NUMBERED = re.compile(r"^([ \t>*_#-]*)\d{1,4}(?=[.)、:：])", re.MULTILINE)


class LoopGuard:
    """Takes in an answer piece by piece, and says whether its end goes round in circles.

    A unit that repeats is any run of characters; the numbers of a list's lines count as one.
    """

    def __init__(self) -> None:
        self._tail = ""
        self._pieces = 0

    def loops(self, text: str) -> bool:
        """Whether it does with this text behind what came before; looks at every fourth piece."""
        self._tail = (self._tail + text)[-TAIL:]
        self._pieces += 1
        return self._pieces % EVERY == 0 and _loops(self._tail)


def _loops(text: str) -> bool:
    text = _NUMBERED.sub(r"\g<1>0", text).rstrip()
    return any(_repeats(text, period) for period in _periods(text))


def _periods(text: str) -> Iterator[int]:
    """How far before the end the text's last characters stand already, the nearest first."""
    begin = len(text) - ENDING
    at = text.rfind(text[-ENDING:], 0, len(text) - 1) if begin > 0 else -1
    while at >= 0:
        yield begin - at
        at = text.rfind(text[-ENDING:], 0, at + ENDING - 1)


def _repeats(text: str, period: int) -> bool:
    """Whether the last `period` characters stand so often, one after the other, as a loop does."""
    unit = text[-period:]
    times = 1
    while text.endswith(unit, 0, len(text) - period * times):
        times += 1
    _, least, tokens = next(limit for limit in LIMITS if _tokens(unit) <= limit[0])
    return times >= least and times * _tokens(unit) >= tokens


def _tokens(text: str) -> float:
    """About how many tokens a text is."""
    asian = len(_ASIAN.findall(text))
    return asian + (len(text) - asian) / 4
