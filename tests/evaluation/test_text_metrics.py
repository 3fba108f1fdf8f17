"""Scores of written answers, against hand-computed values and the libraries themselves."""

from __future__ import annotations

import math

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evaluation import text_metrics
from evaluation.intervals import interval

ANSWERS = ["The cat sat on the mat today.", "Nine trains leave.", "It's a snake_case don't-care"]
REFERENCES = ["The cat sat on a mat today.", "The train leaves at nine.", "It is snake_case; don't"]
ZH_ANSWERS = ["图书馆星期一不开门。", "火车九点开。"]
ZH_REFERENCES = ["图书馆周一不开门。", "火车九点钟出发。"]


@pytest.mark.parametrize(
    ("answers", "references", "language", "tokenizer"),
    [
        (ANSWERS, REFERENCES, "en", "13a"),
        (ANSWERS, REFERENCES, "fr", "13a"),
        (ZH_ANSWERS, ZH_REFERENCES, "zh", "zh"),
        (ZH_ANSWERS, ZH_REFERENCES, "ja", "char"),
    ],
)
def test_bleu_is_sacrebleus(
    answers: list[str], references: list[str], language: str, tokenizer: str
) -> None:
    score = text_metrics.bleu(answers, references, [language] * len(answers))
    expected = BLEU(tokenize=tokenizer).corpus_score(answers, [references]).score
    assert score.over_all() == pytest.approx(expected)
    assert f"tok:{tokenizer}" in text_metrics.signature(text_metrics.bleu_metric(language))


def test_chinese_bleu_needs_its_tokenizer() -> None:
    as_chinese = text_metrics.bleu(ZH_ANSWERS, ZH_REFERENCES, ["zh", "zh"]).over_all()
    assert as_chinese > 20 > text_metrics.bleu(ZH_ANSWERS, ZH_REFERENCES, ["en", "en"]).over_all()


@pytest.mark.parametrize(
    ("answers", "references"), [(ANSWERS, REFERENCES), (ZH_ANSWERS, ZH_REFERENCES)]
)
def test_chrf_is_sacrebleus(answers: list[str], references: list[str]) -> None:
    expected = CHRF(word_order=2).corpus_score(answers, [references]).score
    assert text_metrics.chrf(answers, references).over_all() == pytest.approx(expected)


def test_an_interval_of_bleu_takes_little_time() -> None:
    score = interval(text_metrics.bleu(ANSWERS * 400, REFERENCES * 400, ["en"] * 1200))
    assert score.low < score.value < score.high
    assert score.rows == 1200


def test_rouge_is_the_librarys_on_english() -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [scorer.score(r, a) for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    for statistic, kind in zip(
        text_metrics.rouge(ANSWERS, REFERENCES), ("rouge1", "rouge2", "rougeL"), strict=True
    ):
        expected = sum(score[kind].fmeasure for score in scores) / len(scores)
        assert statistic.over_all() == pytest.approx(expected)


def test_rouge_of_chinese_is_not_0() -> None:
    plain = RougeScorer(["rouge1"]).score("猫坐在地毯上", "猫坐在垫子上")["rouge1"].fmeasure
    assert plain == 0, "the library could not read Chinese; then our tokenizer is needed"
    one, two, longest = text_metrics.rouge(["猫坐在垫子上"], ["猫坐在地毯上"])
    assert one.over_all() == pytest.approx(4 / 6)
    assert two.over_all() == pytest.approx(2 / 5)
    assert longest.over_all() == pytest.approx(4 / 6)


def test_tokens_of_mixed_text() -> None:
    assert text_metrics.tokens("用GPT-2写café、3.5万字") == [
        "用", "gpt", "2", "写", "café", "3", "5", "万", "字",
    ]  # fmt: skip


def test_cheap_looks() -> None:
    assert text_metrics.length_ratio(["a b c"], ["a b"]).over_all() == 1.5
    novel = text_metrics.novel(["the old cat sat"], ["the old cat ran"])
    assert novel.over_all() == pytest.approx(1 / 3)
    assert text_metrics.distinct(["a b a b a"]).over_all() == pytest.approx(2 / 4)
    assert text_metrics.repetition(["a b c d a b c d"]).over_all() == pytest.approx(1 / 5)
    assert text_metrics.repetition(["short"]).over_all() != 0, "too short for a 4-gram: no value"
    assert text_metrics.answer_length(["a b", "三个字"]).over_all() == 2.5
    assert text_metrics.perplexity([-4.0, -2.0], [2, 1]).over_all() == pytest.approx(math.exp(2))


@pytest.mark.parametrize(
    ("summary", "source", "share"),
    [
        ("The mayor, Anna Berg, paid 40 euros.", "Mayor Anna Berg said it cost 40 euros.", 0.0),
        ("The mayor, Anna Holm, paid 50 euros.", "Mayor Anna Berg said it cost 40 euros.", 2 / 3),
        ("Rain fell.", "It rained.", None),
        ("去年有３００人参加。", "去年有300人参加。", 0.0),
        ("去年有500人参加。", "去年有300人参加。", 1.0),
    ],
)
def test_numbers_and_names_that_the_source_lacks(
    summary: str, source: str, share: float | None
) -> None:
    score = text_metrics.unsupported([summary], [source]).over_all()
    assert math.isnan(score) if share is None else score == pytest.approx(share)
