"""Formatting that a translation lost is found again by the words that had it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_PAIR = re.compile(r"(?P<open><(?P<name>g\d+|[biu])>)(?P<words>[^<>]+)(?P<close></(?P=name)>)")
_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SIGNS = " \t.,;:!?。，；：！？"


def found_again(source: str, answer: str, translated: Callable[[str], str]) -> str:
    """The answer with tags around the words that stand for tagged words of the source.

    These stand there as they are, a name, or as they are translated by themselves.

    Args:
        source: a sentence with tags around words.
        answer: what came of it; it may have lost some, or one of a pair.
        translated: what becomes of some of the source's words alone.
    """
    for pair in _PAIR.finditer(source):
        begin, end = answer.find(pair["open"]), answer.find(pair["close"])
        if 0 <= begin < end or source.count(pair["open"]) > 1:
            continue
        answer = answer.replace(pair["open"], "").replace(pair["close"], "")
        for words in _wordings(pair["words"].strip(_SIGNS), translated):
            if place := _place(words, answer):
                kept = answer[place.start() : place.end()]
                tagged = f"{pair['open']}{kept}{pair['close']}"
                answer = answer[: place.start()] + tagged + answer[place.end() :]
                break
    return answer


def _wordings(words: str, translated: Callable[[str], str]) -> Iterator[str]:
    yield words
    if any(map(str.isalpha, words)):
        yield translated(words).strip(_SIGNS)


def _place(words: str, text: str) -> re.Match[str] | None:
    """Where the words stand in a text, not within a tag of it."""
    if not words:
        return None
    edges = ("", "") if _ASIAN.search(words) else (r"(?<!\w)", r"(?!\w)")
    return re.search(f"{edges[0]}{re.escape(words)}{edges[1]}(?![^<>]*>)", text, re.IGNORECASE)
