"""Composed requests: every character has a tag, no run sees what another measures."""

from __future__ import annotations

import random

import pytest

from agent.planning import examples, features, patterns
from agent.planning.compose import Composer
from agent.planning.contents import Contents
from agent.planning.patterns import CONTENT
from tasks.spec import load_tasks


@pytest.fixture(scope="module")
def composer() -> Composer:
    return examples.composer(load_tasks(), seed=5)


def test_the_same_seed_composes_the_same() -> None:
    composer, other = (examples.composer(load_tasks(), seed=5) for _ in range(2))
    assert [composer.draw() for _ in range(50)] == [other.draw() for _ in range(50)]


def test_every_token_has_the_tag_of_its_words(composer: Composer) -> None:
    for item in (composer.draw() for _ in range(200)):
        example = examples.of_composed(item)
        assert len(example.tags) == len(example.features.tokens)
        tokens = zip(example.features.tokens, example.tags, strict=True)
        contents = [token for token, tag in tokens if examples.TAGS[tag] == CONTENT]
        assert all(token.text in item.content for token in contents)
        assert bool(contents) == bool(item.content.strip())


def test_no_mark_is_left_in_a_request(composer: Composer) -> None:
    marks = ("{text}", "{lang}", "{labels}", "{none}", "<T ", "(a|")
    for item in (composer.draw() for _ in range(500)):
        assert not any(mark in item.text for mark in marks), item


def test_what_is_held_out_is_not_trained_on() -> None:
    train, held = Contents()._pool, Contents(held_out=True)._pool
    for kind, texts in train.items():
        assert not {c.text for c in texts} & {c.text for c in held.get(kind, [])}


def test_every_pattern_has_a_plan_and_marks_that_are_known() -> None:
    for pattern in patterns.read():
        assert pattern.plan
        assert pattern.line.count("(") == pattern.line.count(")"), pattern.line
        words = "".join(words for words, _ in pattern.wording(random.Random(0)))
        assert "<" not in words, pattern.line
        assert ">" not in words.replace("->", ""), pattern.line


@pytest.mark.parametrize("text", ["a", "字", "\n\n", "```", "“", "word " * 20_000, "字" * 100_000])
def test_every_token_has_rows_in_the_table(text: str) -> None:
    found = features.of(text)
    assert len(found.offsets) == len(found.tokens) <= features.HEAD_TOKENS + features.TAIL_TOKENS
    assert found.rows.size == 0 or 0 <= found.rows.min() <= found.rows.max() < features.ROWS
