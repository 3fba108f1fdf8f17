"""The cheap classifier: TF-IDF of words, or of characters in Chinese, with logistic regression."""

from __future__ import annotations

import sys
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from tasks import languages

INVERSE_REGULARIZATION = 10.0  # of the logistic regression; one value for every task
WORDS, CHARACTERS = (1, 2), (1, 3)  # of a term, from and to
_in_words = TfidfVectorizer(ngram_range=WORDS)
_words = _in_words.build_analyzer()
_characters = TfidfVectorizer(analyzer="char", ngram_range=CHARACTERS).build_analyzer()


def terms(text: str) -> list[str]:
    """What is counted: one and two words, or one to three characters where most are Han."""
    han = 2 * len(languages.HAN.findall(text)) > len(text)
    counted: list[str] = (_characters if han else _words)(text)
    return counted


def term_rules() -> dict[str, Any]:
    """How `terms` makes them, for whoever makes the same without scikit-learn; JSON-able.

    Returns:
        `word`: a regular expression; `words`, `characters`: (from, to) of a term; `han`: ranges of
        code points, both ends included. Texts are lowercased, and two or more spaces in a row are
        one space where characters are counted.
    """
    han = languages.HAN.findall("".join(map(chr, range(sys.maxunicode + 1))))
    rules = {"word": _in_words.token_pattern, "words": WORDS, "characters": CHARACTERS}
    return {**rules, "han": _ranges(han)}


def vectors() -> TfidfVectorizer:
    """Texts -> TF-IDF of their terms, sparse rows of length 1."""
    return TfidfVectorizer(analyzer=terms, sublinear_tf=True)


def classifier() -> Pipeline:
    """One to be fitted: the same for the same rows."""
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1000, random_state=0)
    return make_pipeline(vectors(), regression)


def _ranges(characters: list[str]) -> list[list[int]]:
    """Those of characters in order, without a gap in any."""
    found: list[list[int]] = []
    for code in map(ord, characters):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found
