"""Where in a text a sentence of its summary comes from."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter

from agent.events import TextPlace
from agent.parts import Span, headings, paragraphs, sentences

LEAST = 0.3  # of a sentence's words, weighed by how rare they are, that its place must hold
PASSAGE = 700  # characters of a paragraph that are shown around a place
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class Places:
    """The sentences of a text, each with its paragraph, heading and page.

    Args:
        pages: where each page begins, in characters, with its number; of a text that has pages.
    """

    def __init__(self, text: str, language: str, pages: Sequence[tuple[int, int]] = ()) -> None:
        self._text, self._pages = text, pages
        self._paragraphs = list(paragraphs(text))
        self._headings = list(headings(text))
        whole = Span(0, len(text))
        self._sentences = [s for s in sentences(text, whole, language) if s.of(text).strip()]
        self._words = [_features(sentence.of(text)) for sentence in self._sentences]
        self._known = Counter(word for words in self._words for word in words)

    def find(self, sentence: str, within: Span) -> TextPlace | None:
        """The sentence of a part of the text that holds the most of another's words.

        A word weighs as much as it is rare in the text (inverse document frequency, Sparck Jones
        1972); of Chinese and Japanese two neighbouring characters are a word.

        Returns:
            None where none holds enough of them.
        """
        wanted = {word: self._weight(word) for word in _features(sentence)}
        total = sum(wanted.values())
        held = [
            (sum(weight for word, weight in wanted.items() if word in words), -at)
            for at, words in enumerate(self._words)
            if within.begin <= self._sentences[at].begin < within.end
        ]
        best, at = max(held, default=(0.0, 0))
        return self.place(self._sentences[-at]) if total and best / total >= LEAST else None

    def place(self, span: Span) -> TextPlace:
        """Where a part of the text stands, with the passage around it."""
        number = max(1, bisect_right(self._paragraphs, span.begin, key=lambda one: one.begin))
        around = self._paragraphs[number - 1]
        begin = max(around.begin, span.begin - PASSAGE // 2)
        end = min(max(around.end, span.end), span.begin + PASSAGE)
        stands = self._text[span.begin : min(span.end, end)]
        page = bisect_right(self._pages, span.begin, key=itemgetter(0))
        heading = bisect_right(self._headings, span.begin, key=itemgetter(0))
        return TextPlace(
            begin=span.begin,
            end=span.end,
            paragraph=number,
            heading=self._headings[heading - 1][1] if heading else "",
            page=self._pages[page - 1][1] if page else None,
            before=self._text[begin : span.begin].lstrip(),
            words=stands.strip(),
            after=(stands[len(stands.rstrip()) :] + self._text[span.end : end]).rstrip(),
        )

    def _weight(self, word: str) -> float:
        return math.log(1 + len(self._sentences) / (1 + self._known[word]))


def _features(text: str) -> set[str]:
    """Words in small letters, and pairs of neighbouring characters where there are no words."""
    words = _WORD.findall(text.lower())
    pairs = {a + b for a, b in pairwise(words) if _ASIAN.match(a + b)}
    return pairs | {word for word in words if not _ASIAN.match(word)}
