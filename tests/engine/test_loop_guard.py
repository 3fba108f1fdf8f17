"""Answers that go round in circles, and those that only repeat themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.loop_guard import LoopGuard

ROOT = Path(__file__).parents[2]
SONG = """We all live by the river, by the river, by the river,
we all live by the river, by the river, by the river.

And our friends are all on board, many more of them live next door.

We all live by the river, by the river, by the river,
we all live by the river, by the river, by the river.

Na na na na na na na na na na na, hey.
"""
TABLE = "| Name | Open |\n|" + "------|" * 12 + "\n" + "| Anna | yes |\n| Ben | yes |\n" * 3
CODE = "".join(f"    print(values[{i}])\n    total += 1\n" for i in range(8)) + "    }\n" * 6
FORM = "".join(f"{i}. ______\n" for i in range(1, 9))
POEM = (
    "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n" * 2 + "慢慢地，慢慢地，慢慢地，走回家。"
)
LOOPS = {
    "a token": "ha ",
    "a phrase": "a museum of art and ",
    "a sentence": "The city is known for its long history and its many parks. ",
    "a line": "- It is a place where people can meet.\n",
    "paragraphs": "The city is known for its long history and its many parks.\n\n"
    "It also has a river, on which boats go up and down in summer, and two museums.\n\n",
    "a word": "我们",
    "a clause": "这个城市很美丽，有很多公园。",
    "a row": "| Anna | yes |\n",
}


def ended(text: str) -> int | None:
    """After how many characters a text is ended that comes about a token at a time."""
    guard = LoopGuard()
    for piece in re.finditer(r"\s*[A-Za-z]{1,5}|\s*\S|\s+$", text):
        if guard.loops(piece.group()):
            return piece.end()
    return None


@pytest.mark.parametrize("text", [SONG, TABLE, CODE, FORM, POEM], ids=range(5))
def test_what_repeats_itself_with_reason_goes_on(text: str) -> None:
    assert ended(text) is None


def test_our_own_pages_and_programs_are_no_loops() -> None:
    files = [*ROOT.glob("docs/[!a]*.md"), *ROOT.glob("engine/*.py"), *ROOT.glob("tasks/*.py")]
    assert len(files) > 30
    assert [file.name for file in files if ended(file.read_text(encoding="utf-8")[:8000])] == []


@pytest.mark.parametrize("unit", LOOPS.values(), ids=LOOPS)
def test_loops_are_ended_within_a_few_dozen_tokens(unit: str) -> None:
    begin = "The answer begins like any other, 和别的回答一样。 "
    at = ended(begin + unit * 200)
    assert at is not None
    tokens = (at - len(begin)) / (1 if re.search(r"[一-鿿]", unit) else 4)
    assert tokens < max(110, 5 * len(unit) / 4)
    assert at - len(begin) > 2 * len(unit)


def test_the_numbers_of_a_list_do_not_hide_a_loop() -> None:
    assert ended("".join(f"{i}. Be careful with the fire.\n" for i in range(1, 99)))
    assert ended("".join(f"{i}. Day {i} is here.\n" for i in range(1, 99))) is None
