"""Words with a vector of their own: what the planner knows of words that no pattern has."""

from __future__ import annotations

import numpy as np
import pytest

from agent.planning import artefact, features, word_vectors, words
from agent.planning.artefact import Artefact
from agent.planning.network import EMBEDDING


def rows_of(text: str) -> list[list[int]]:
    """The rows of each token."""
    found = features.of(text)
    return [list(rows) for rows in np.split(found.words, found.word_offsets[1:])]


def test_a_word_is_known_in_any_case() -> None:
    row = words.vocabulary()["summary"]
    assert rows_of("Summary SUMMARY summary") == [[row]] * 3
    assert rows_of("zzqx 12 !") == [[]] * 3


def test_chinese_characters_are_read_in_pairs_traditional_ones_too() -> None:
    pair = words.vocabulary()["翻译"]
    assert rows_of("翻译") == rows_of("翻譯") == [[pair]] * 2
    assert rows_of("译") == [[words.vocabulary()["译"]]]


def test_a_named_language_is_no_word() -> None:
    """A plan does not depend on which language is named."""
    assert rows_of("into French") == [*rows_of("into"), []]


def test_the_shipped_table_has_a_vector_for_each_word() -> None:
    table = Artefact(artefact.FOLDER).network.state_dict()[artefact.WORDS]
    assert table.shape == (len(words.vocabulary()), EMBEDDING)
    assert bool((table.norm(dim=1) > 0).all())


@pytest.mark.starter
def test_words_that_mean_alike_have_vectors_that_are_alike() -> None:
    table, row = word_vectors.table(), words.vocabulary()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)

    def alike(one: str, two: str) -> float:
        return float(unit[row[one]] @ unit[row[two]])

    assert table.shape == (len(row), word_vectors.COMPONENTS)
    for near in (
        ("angry", "furious"),
        ("translate", "traduire"),
        ("生气", "愤怒"),
        ("gist", "essence"),
    ):
        assert alike(*near) > 0.2 > alike(near[0], "bicycle"), near
