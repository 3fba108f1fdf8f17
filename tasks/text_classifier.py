"""The cheap classifier: TF-IDF of words, or of characters in Chinese, with logistic regression."""

from __future__ import annotations

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from tasks import languages

INVERSE_REGULARIZATION = 10.0  # of the logistic regression; one value for every task
_words = TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()
_characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 3)).build_analyzer()


def terms(text: str) -> list[str]:
    """What is counted: one and two words, or one to three characters where most are Han."""
    han = 2 * len(languages.HAN.findall(text)) > len(text)
    counted: list[str] = (_characters if han else _words)(text)
    return counted


def vectors() -> TfidfVectorizer:
    """Texts -> TF-IDF of their terms, sparse rows of length 1."""
    return TfidfVectorizer(analyzer=terms, sublinear_tf=True)


def classifier() -> Pipeline:
    """One to be fitted: the same for the same rows."""
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1000, random_state=0)
    return make_pipeline(vectors(), regression)
