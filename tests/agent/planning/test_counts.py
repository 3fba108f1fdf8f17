"""How many pieces an answer is to have, as people say it."""

from __future__ import annotations

import pytest

from agent.planning import slots
from tasks.spec import load_tasks

TASK = load_tasks()["summarization"]


@pytest.mark.parametrize(
    ("asked", "length", "count"),
    [
        ("summarize in three bullets", "bullets", "3"),
        ("give me 3 short bullet points", "bullets", "3"),
        ("two or three bullets", "bullets", "3"),
        ("at most five takeaways", "bullets", "5"),
        ("reduce it to one bullet point", "bullets", "1"),
        ("in 2 sentences please", "sentence", "2"),
        ("a two-sentence summary", "sentence", "2"),
        ("condense to two lines", "sentence", "2"),
        ("用三个要点概括", "bullets", "3"),
        ("总结成三点", "bullets", "3"),
        ("用5条要点总结", "bullets", "5"),
        ("两句话概括", "sentence", "2"),
        ("短一点", "sentence", None),
        ("in one sentence", "sentence", None),
        ("一句话概括", "sentence", None),
        ("summarize the 3 articles in bullets", "bullets", None),
        ("in 120 words", "sentence", None),
        ("in 200 bullets", "bullets", None),
        ("one paragraph", "paragraph", None),
    ],
)
def test_a_number_of_pieces_is_read(asked: str, length: str, count: str | None) -> None:
    values = slots.fill(TASK, asked, "en", "en")
    assert (values["length"], values.get("count")) == (length, count)


def test_it_holds_in_the_next_turn_until_another_length_is_asked_for() -> None:
    before = {"length": "bullets", "count": "3"}
    assert slots.fill(TASK, "and this one", "en", "en", before) == before
    assert slots.fill(TASK, "as a paragraph", "en", "en", before) == {"length": "paragraph"}
    assert slots.fill(TASK, "four bullets", "en", "en", before)["count"] == "4"
