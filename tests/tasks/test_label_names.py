"""What files call labels, against what the tasks call them."""

from __future__ import annotations

import pytest

from tasks.label_names import label_of, look_alikes, offer, task_labels
from tasks.spec import load_tasks

SENTIMENT = load_tasks()["sentiment"]


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"), ("Positive ", "positive"), ("NEGATIVE", "negative"),
        ("ｎｅｕｔｒａｌ", "neutral"), ("pos\u200bitive", "positive"), ("正面", "positive"),
        ("pos", None), ("1", None), ("positively", None), ("", None),
    ],
)  # fmt: skip
def test_a_label_is_known_by_its_look_and_in_both_languages(answer: str, label: str | None) -> None:
    assert label_of(answer, task_labels(SENTIMENT)) == label


@pytest.mark.parametrize(
    ("unknown", "mapping"),
    [
        (["0", "1"], '`answers: {"0": negative, "1": positive}`'),
        (["-1", "0", "1"], '`answers: {"-1": negative, "0": neutral, "1": positive}`'),
        (["5", "1", "3"], '`answers: {"1": negative, "3": neutral, "5": positive}`'),
        (["label_1", "label_0"], '`answers: {"label_0": negative, "label_1": positive}`'),
        (["👎", "👍"], '`answers: {"👍": positive, "👎": negative}`'),
        (["5.0", "1.0"], '`answers: {"1.0": negative, "5.0": positive}`'),
        (["POS", "NEG"], '`answers: {"NEG": negative, "POS": positive}`'),
        (["好评", "差评"], '`answers: {"好评": positive, "差评": negative}`'),
        (["yes", "no"], '`answers: {"no": ..., "yes": ...}`'),
    ],
)
def test_an_obvious_coding_is_offered(unknown: list[str], mapping: str) -> None:
    assert mapping in offer(SENTIMENT, unknown).english


def test_labels_that_look_alike() -> None:
    labels = ["Bugs", "bugs", "bugs\u200b", "ｂｕｇｓ", "bill ing", "bill  ing", "shipping"]
    assert look_alikes(labels) == [labels[:4], labels[4:6]]
