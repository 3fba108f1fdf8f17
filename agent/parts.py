"""Cut a text into parts along its own structure: headings, paragraphs, lines, sentences, words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sentencex

from agent import segments

_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*\n?)+\s*")
_HEADING = re.compile(r"#{1,6}\s+(?P<words>.*\S)")
Count = Callable[[str], int]


@dataclass(frozen=True)
class Span:
    """From `begin` to before `end`, in characters of a text."""

    begin: int
    end: int

    def of(self, text: str) -> str:
        """What stands there."""
        return text[self.begin : self.end]


def cut(text: str, language: str, most: int, count: Count) -> list[Span]:
    """Parts of at most `most` tokens, about equal, that are the whole text together.

    A part begins with a heading or a paragraph wherever these fit, else with a line, a sentence, or
    a word of a sentence that is too long by itself. A heading stays with what follows it.

    Args:
        text: any text, Markdown included.
        language: ISO 639-1 code of the text, for its sentences.
        most: tokens, at least 1.
        count: how many tokens a text has.
    """
    atoms = [
        atom
        for paragraph in paragraphs(text)
        for atom in _smaller(text, paragraph, language, most=most, count=count)
    ]
    total = sum(tokens for _, tokens in atoms)
    fair = total / max(1, math.ceil(total / most))
    parts: list[Span] = []
    begin = end = filled = 0
    for span, counted in atoms:
        blank = not span.of(text).strip()  # goes with what stands before
        tokens = 0 if blank else counted
        headed = bool(_HEADING.match(span.of(text))) and filled >= fair / 2
        if filled and not blank and (filled + tokens > most or filled >= fair or headed):
            parts.append(Span(begin, end))
            begin, filled = end, 0
        end, filled = span.end, filled + tokens
    return [*parts, Span(begin, len(text))] if text.strip() else []


def paragraphs(text: str) -> Iterator[Span]:
    """What stands between blank lines, each with the blank lines behind it, a heading with what
    follows it.
    """
    begin: int | None = None
    found = list(_PARAGRAPH.finditer(text))
    for at, match in enumerate(found):
        begin = match.start() if begin is None else begin
        lone = "\n" not in match.group().strip() and _HEADING.match(match.group())
        if not lone or at == len(found) - 1:
            yield Span(begin, match.end())
            begin = None


def sentences(text: str, span: Span, language: str) -> Iterator[Span]:
    """The sentences of a part of a text, line by line."""
    at = span.begin
    for line in span.of(text).splitlines(keepends=True):
        for sentence in sentencex.segment(language, line):
            yield Span(at, at + len(sentence))
            at += len(sentence)


def headings(text: str) -> Iterator[tuple[int, str]]:
    """Where each heading begins, and its words."""
    at = 0
    for line in text.splitlines(keepends=True):
        if match := _HEADING.match(line):
            yield at, match["words"]
        at += len(line)


def _smaller(
    text: str, span: Span, language: str, *, most: int, count: Count
) -> Iterator[tuple[Span, int]]:
    """The span, or what it is cut into where it is too long, each with its tokens."""
    whole = count(span.of(text))
    if whole <= most:
        yield span, whole
        return
    for sentence in sentences(text, span, language):
        tokens = count(sentence.of(text))
        at = sentence.begin
        for words in segments.groups(sentence.of(text), math.ceil(tokens / most)) or [""]:
            yield Span(at, at + len(words)), count(words)
            at += len(words)
