"""Scores of written answers: BLEU, chrF++, ROUGE, and cheap looks at their form. Pure functions."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import regex
from nltk.stem import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evaluation.intervals import Array, Statistic, mean, ratio

# Scripts without spaces between words are read a character at a time.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"
TOKEN = regex.compile(rf"{UNSPACED}|(?:(?!{UNSPACED})[\p{{L}}\p{{M}}\p{{N}}])+")
NUMBER = regex.compile(r"\p{N}+(?:[.,]\p{N}+)*")
PROPER_NAME = regex.compile(r"(?<![.!?。！？:：\"“]\s?|^\W*)\b\p{Lu}[\p{L}\p{M}]+")
# sacrebleu's tokenizers for languages that 13a reads as one long word. Japanese and Korean have
# better ones that need a dictionary each; characters need nothing.
BLEU_TOKENIZER = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "my": "char", "km": "char"}


class HanTokenizer(Tokenizer):  # type: ignore[misc]  # the library has no types
    """Tokens for ROUGE: words, Porter-stemmed as `rouge_score` does, and single Han characters.

    The library's own tokenizer keeps a-z and 0-9 only, so that every Chinese text scores 0.
    """

    def __init__(self) -> None:
        self._stem = PorterStemmer().stem

    def tokenize(self, text: str) -> list[str]:
        """Lower-case tokens in order."""
        return [self._stem(word) if len(word) > 3 else word for word in tokens(text)]


def tokens(text: str) -> list[str]:
    """Lower-case words, and single characters of scripts without spaces."""
    return [str(word) for word in TOKEN.findall(text.lower())]


def ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Every run of `size` tokens, in order."""
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def bleu(answers: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> Statistic:
    """Corpus BLEU, 0 to 100 (Papineni et al. 2002; sacrebleu), tokenized by target language.

    Args:
        answers, references: texts.
        languages: ISO 639-1 code of each reference.
    """
    parts = [
        _counts(bleu_metric(language), answer, reference)
        for answer, reference, language in zip(answers, references, languages, strict=True)
    ]
    return Statistic("bleu", np.array(parts, dtype=float), _from_counts(bleu_metric("en")))


def chrf(answers: Sequence[str], references: Sequence[str]) -> Statistic:
    """Corpus chrF++, 0 to 100 (Popović 2017; sacrebleu): characters to 6, words to 2."""
    pairs = zip(answers, references, strict=True)
    parts = [_counts(chrf_metric(), answer, reference) for answer, reference in pairs]
    return Statistic("chrf", np.array(parts, dtype=float), _from_counts(chrf_metric()))


@cache
def bleu_metric(language: str) -> BLEU:
    """sacrebleu's BLEU with the tokenizer for a target language."""
    return BLEU(tokenize=BLEU_TOKENIZER.get(language, "13a"), force=True)


@cache
def chrf_metric() -> CHRF:
    """sacrebleu's chrF++."""
    return CHRF(word_order=2)


def signature(metric: BLEU | CHRF) -> str:
    """What sacrebleu asks to be printed beside a score, so that others can repeat it."""
    metric.num_refs = 1
    return str(metric.get_signature())


def rouge(answers: Sequence[str], references: Sequence[str]) -> list[Statistic]:
    """ROUGE-1, -2 and -L, mean F1 from 0 to 1 (Lin 2004; rouge_score with `HanTokenizer`)."""
    kinds = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}
    scorer = RougeScorer(list(kinds), tokenizer=HanTokenizer())
    scores = [scorer.score(r, a) for a, r in zip(answers, references, strict=True)]
    return [mean(name, [s[kind].fmeasure for s in scores]) for kind, name in kinds.items()]


def length_ratio(answers: Sequence[str], references: Sequence[str]) -> Statistic:
    """Tokens of all answers over tokens of all references."""
    parts = [[len(tokens(a)), len(tokens(r))] for a, r in zip(answers, references, strict=True)]
    return Statistic("length_ratio", np.array(parts), ratio, "neither")


def novel(answers: Sequence[str], sources: Sequence[str], size: int = 2) -> Statistic:
    """Share of an answer's distinct n-grams that its source lacks, mean (See et al. 2017)."""
    values = []
    for answer, source in zip(answers, sources, strict=True):
        own = set(ngrams(tokens(answer), size))
        values.append(len(own - set(ngrams(tokens(source), size))) / len(own) if own else np.nan)
    return mean(f"novel_{size}", values, "neither")


def unsupported(answers: Sequence[str], sources: Sequence[str]) -> Statistic:
    """Share of the answers' numbers and names that do not occur in the source.

    A cheap check and no more: a name is a capitalized word inside a sentence, so that Chinese
    names are not seen, nor is anything wrong that the source's own words say.
    """
    parts = []
    for answer, source in zip(answers, sources, strict=True):
        stated, given = facts(answer), unicodedata.normalize("NFKC", source).lower()
        in_source = {*NUMBER.findall(given), *tokens(given)}
        parts.append([len(stated - in_source), len(stated)])
    return Statistic("unsupported", np.array(parts).reshape(-1, 2), ratio, "lower")


def facts(text: str) -> set[str]:
    """Numbers, and capitalized words inside a sentence, in lower case."""
    plain = unicodedata.normalize("NFKC", text)
    return {str(fact).lower() for fact in (*NUMBER.findall(plain), *PROPER_NAME.findall(plain))}


def distinct(answers: Sequence[str], size: int = 2) -> Statistic:
    """Distinct n-grams over n-grams, of each answer, mean (after Li et al. 2016).

    Taken within answers and not over all of them, so that it does not fall with their number.
    """
    return mean(f"distinct_{size}", [_variety(answer, size) for answer in answers])


def repetition(answers: Sequence[str]) -> Statistic:
    """Share of 4-grams that repeat an earlier one of the same answer (Welleck et al. 2020)."""
    return mean("repetition", [1 - _variety(answer, 4) for answer in answers], "lower")


def answer_length(answers: Sequence[str]) -> Statistic:
    """Mean number of words (characters where a script has no spaces)."""
    return mean("answer_length", [len(tokens(answer)) for answer in answers], "neither")


def perplexity(loglikelihoods: Sequence[float], counts: Sequence[int]) -> Statistic:
    """exp of the mean negative log-likelihood of a token of the references.

    Args:
        loglikelihoods: of each whole reference, its end-of-turn token included, in nats.
        counts: tokens of each.
    """
    parts = np.column_stack([-np.asarray(loglikelihoods, dtype=float), counts])
    return Statistic("perplexity", parts, lambda sums: np.exp(ratio(sums)), "lower")


def _variety(text: str, size: int) -> float:
    runs = ngrams(tokens(text), size)
    return len(set(runs)) / len(runs) if runs else float("nan")


def _counts(metric: BLEU | CHRF, answer: str, reference: str) -> list[int]:
    """One row's sufficient statistics, as sacrebleu's own significance tests take them.

    They have no public name; the tests hold their sums against `corpus_score`.
    """
    counts: list[int] = metric._extract_corpus_statistics([answer], [[reference]])[0]
    return counts


def _from_counts(metric: BLEU | CHRF) -> Callable[[Array], Array]:
    def value(sums: Array) -> Array:
        scores: list[Any] = [metric._compute_score_from_stats(row).score for row in sums.tolist()]
        return np.array(scores, dtype=float)

    return value
