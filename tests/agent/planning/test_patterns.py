"""The instruction patterns that the planner's network is trained on."""

from __future__ import annotations

import random

import pytest

from agent.planning import patterns
from agent.planning.patterns import Pattern

INTO, SHORTEN, MOOD = (patterns.LETTERS[letter] for letter in "TSM")


def test_every_step_of_every_pattern_has_words_that_ask_for_it() -> None:
    for pattern in patterns.read():
        pieces = pattern.wording(random.Random(0))
        asked = {tag for words, tag in pieces if words.strip()}
        assert set(pattern.plan) <= asked, f"{pattern.lang}: {pattern.line}"


@pytest.mark.parametrize(
    ("line", "plan", "tags"),
    [
        ("sum it up, <T then translate it>", (SHORTEN, INTO), [SHORTEN, INTO]),
        ("<T translate it>, then sum it up", (INTO, SHORTEN), [INTO, SHORTEN]),
        ("<T translate it>, sum it up, <M tone?>", (INTO, SHORTEN, MOOD), [INTO, SHORTEN, MOOD]),
    ],
)
def test_unmarked_words_ask_for_the_step_that_no_marked_words_ask_for(
    line: str, plan: tuple[str, ...], tags: list[str]
) -> None:
    pieces = Pattern(line, plan, "en").wording(random.Random(0))
    assert [tag for _, tag in pieces] == tags
