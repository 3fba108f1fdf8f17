"""What makes two rows the same to training and to evaluation."""

from __future__ import annotations

import pytest

from tasks.rows import duplicate_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A good film.", "a GOOD film"),
        ("So, so!", "so so"),
        ("snake_case", "Snake case"),
        ("图书馆，九点开门。", "图书馆 九点开门"),
        ("Straße", "STRASSE"),
    ],
)
def test_case_spacing_and_punctuation_make_no_other_text(one: str, other: str) -> None:
    assert duplicate_key(one) == duplicate_key(other) != ""


def test_other_words_and_numbers_do() -> None:
    keys = {duplicate_key(text) for text in ("film 1", "film 2", "films 1", "电影 1")}
    assert len(keys) == 4
    assert duplicate_key("?!") == ""
