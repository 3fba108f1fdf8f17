"""Labels are scored by what a server names of its answer."""

from __future__ import annotations

import math

import pytest

from engine.label_scoring import label_log_likelihood, scores_of_answer

ANSWER = [
    (" sci", {" sci": math.log(0.6), " sp": math.log(0.3), " S": math.log(0.1)}),
    ("ence", {"ence": math.log(0.9), "-fi": math.log(0.1)}),
]


@pytest.mark.parametrize(
    ("label", "chance"),
    [
        ("science", 0.6 * 0.9),
        ("sci-fi", 0.6 * 0.1),
        ("sports", 0.3),
        ("sci", 0.6 * 0.1),  # the answer goes on in nine of ten
        ("health", 0.1 * math.exp(-2)),
    ],
)
def test_a_label_is_as_likely_as_the_tokens_that_begin_it(label: str, chance: float) -> None:
    assert label_log_likelihood(label, ANSWER) == pytest.approx(math.log(chance))


def test_without_log_likelihoods_the_label_that_was_answered_gets_everything() -> None:
    labels = ("sci", "science", "sport")
    scores = scores_of_answer(labels, " Science, of course")
    assert max(scores, key=lambda label: scores[label]) == "science"
    assert len(set(scores_of_answer(labels, "I cannot say").values())) == 1
