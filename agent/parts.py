"""Cut a text into parts along its own structure: headings, paragraphs, lines, sentences, words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import sentencex

from agent import segments

_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*\n?)+\s*")
_HEADING = re.compile(r"#{1,6}\s+(?P<words>.*\S)")
Count = Callable[[str], int]
# How many fair shares of a text off the fairest place a part may begin, to begin with it.
HEADING, PARAGRAPH, LINE, SENTENCE, WORD, HEADED = 0.0, 0.4, 0.5, 0.6, 1.0, 2.0
FULL = 0.9  # of what a part may have at most, so that there is a choice of where it ends


@dataclass(frozen=True)
class Span:
    """From `begin` to before `end`, in characters of a text."""

    begin: int
    end: int

    def of(self, text: str) -> str:
        """What stands there."""
        return text[self.begin : self.end]


@dataclass(frozen=True)
class _Atom:
    """What is not cut. `rough` says how little a part is to begin with it, in fair shares."""

    span: Span
    tokens: int
    rough: float


def cut(
    text: str,
    language: str,
    most: int,
    count: Count,
    *,
    size: int | None = None,
    pieces: int = 1,
    exactly: bool = False,
) -> list[list[Span]]:
    """About equally long pieces of a text, each as parts that are about equal, too.

    All parts together are the whole text. One begins with a heading or a paragraph where these
    are near, else with a line, a sentence, or a word of a sentence that is too long by itself. A
    heading stays with what follows it.

    Args:
        text: any text, Markdown included.
        language: ISO 639-1 code of the text, for its sentences.
        most: tokens of a part, at least 1.
        count: how many tokens a text has.
        size: tokens that a part is to have, about; `most` by default.
        pieces: so many, fewer where the text has fewer sentences.
        exactly: so many even where they are shorter than a part is to be.
    """
    counted = [(span, count(span.of(text))) for span in paragraphs(text)]
    total = sum(tokens for _, tokens in counted)
    size = min(size or most, most)
    wanted = pieces if exactly else min(pieces, max(1, math.ceil(total / size)))
    smaller = partial(_smaller, text, language, most=most, count=count)
    atoms = smaller(counted=counted, whole=min(size, total / wanted))
    if len(atoms) < wanted:
        atoms = smaller(counted=counted, whole=0)
    shares = _Shares(atoms)
    begins = [0, *(atom.span.begin for atom in atoms[1:]), len(text)]
    return [
        [Span(begins[a], begins[b]) for a, b in shares.parts(*piece, size, most)]
        for piece in shares.divided(0, len(atoms), wanted)
    ]


class _Shares:
    """Cuts a row of atoms into runs, given by where they begin and end in it."""

    def __init__(self, atoms: Sequence[_Atom]) -> None:
        self._rough = [atom.rough for atom in atoms]
        self._ends = [0, *accumulate(atom.tokens for atom in atoms)]

    def divided(
        self, begin: int, end: int, shares: int, most: float = math.inf
    ) -> Iterator[tuple[int, int]]:
        """So many runs of about as many tokens, or as many as there are atoms; of at most `most`
        tokens where that can be.
        """
        shares = min(shares, end - begin)
        if shares < 2:
            yield from [(begin, end)] * shares
            return
        left, tokens = shares // 2, self._tokens(begin, end)
        place = self._ends[begin] + tokens * left / shares
        room = range(begin + left, end - (shares - left) + 1)
        first, last = self._ends[end] - (shares - left) * most, self._ends[begin] + left * most
        at = min(
            [i for i in room if first <= self._ends[i] <= last] or room,
            key=lambda i: abs(self._ends[i] - place) * shares / max(1, tokens) + self._rough[i],
        )
        yield from self.divided(begin, at, left, most)
        yield from self.divided(at, end, shares - left, most)

    def parts(self, begin: int, end: int, size: int, most: int) -> Iterator[tuple[int, int]]:
        """Runs of about `size` tokens and at most `most`; an atom alone may have more."""
        tokens = self._tokens(begin, end)
        fewest = math.ceil(tokens / most / FULL) if tokens > most else 1
        shares = max(fewest, round(tokens / size))
        for a, b in self.divided(begin, end, shares, most):
            whole = b - a == 1 or self._tokens(a, b) <= most
            yield from [(a, b)] if whole else self.parts(a, b, size, most)

    def _tokens(self, begin: int, end: int) -> int:
        return self._ends[end] - self._ends[begin]


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
    text: str,
    language: str,
    most: int,
    count: Count,
    counted: Sequence[tuple[Span, int]],
    whole: float,
) -> list[_Atom]:
    """The paragraphs, and the sentences of those that have more than `whole` tokens."""
    atoms: list[_Atom] = []
    for paragraph, tokens in counted:
        headed = _HEADING.match(paragraph.of(text))
        if tokens <= whole:
            atoms.append(_Atom(paragraph, tokens, HEADING if headed else PARAGRAPH))
        else:
            atoms += _sentences(text, paragraph, language, most=most, count=count)
    return [atom for atom in atoms if atom.span.of(text).strip()]


def _sentences(
    text: str, paragraph: Span, language: str, *, most: int, count: Count
) -> Iterator[_Atom]:
    """The sentences of a paragraph, and the words of those that have more than `most` tokens."""
    rough, headed = PARAGRAPH, False
    for sentence in sentences(text, paragraph, language):
        at, words = sentence.begin, sentence.of(text)
        if _HEADING.match(words):
            rough, headed = HEADING, True
        elif headed and words.strip():
            rough, headed = HEADED, False
        elif at > paragraph.begin:
            rough = LINE if text[at - 1] == "\n" else SENTENCE
        for piece in segments.groups(words, math.ceil(count(words) / most)) or [""]:
            yield _Atom(Span(at, at + len(piece)), count(piece), rough)
            at, rough = at + len(piece), WORD
