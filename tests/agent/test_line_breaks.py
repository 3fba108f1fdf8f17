"""Line ends within sentences."""

from __future__ import annotations

import pytest

from agent.line_breaks import unbroken
from documents import Block

WRAPPED = """The library reopens on Saturday, after a long
  time in which nobody could come in and read the
  many books of it."""
VERSE = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;"""
LIST = "- Roughly one of the things that are to be done\n- And another\n- A third thing of them all"


def test_a_subtitle_of_two_lines_is_one_sentence_and_two_lines_again() -> None:
    text, broken = unbroken(Block("caption", "What did you\nsay to him then?"))
    assert text == "What did you say to him then?"
    assert broken("Qu'est-ce que tu lui as donc dit ?") == "Qu'est-ce que tu\nlui as donc dit ?"
    assert broken("你当时跟他说了些什么呢？") == "你当时跟他说\n了些什么呢？"
    assert broken("Oui") == "Oui"
    tagged = broken('<font color="#fff">Un deux</font> trois')
    assert tagged == '<font color="#fff">Un\ndeux</font> trois'


def test_two_speakers_stay_two_lines() -> None:
    said = "- Yes?\n- No."
    text, broken = unbroken(Block("caption", said))
    assert text == broken(text) == said


def test_a_wrapped_paragraph_is_wrapped_again() -> None:
    text, broken = unbroken(Block("paragraph", WRAPPED))
    assert "\n" not in text
    assert broken(text) == WRAPPED
    assert max(map(len, broken("mot " * 60).split("\n"))) <= 49
    text, broken = unbroken(Block("paragraph", "图书馆" * 15 + "\n" + "星期六开门" * 5))
    assert text == "图书馆" * 15 + "星期六开门" * 5
    assert broken("word " * 30).count("\n") == 1


@pytest.mark.parametrize("text", [VERSE, LIST, "one line", "Dear Ann,\nhow are you?", ""])
def test_other_line_ends_stay(text: str) -> None:
    assert unbroken(Block("paragraph", text))[0] == text


def test_code_is_never_wrapped() -> None:
    assert unbroken(Block("code", WRAPPED))[0] == WRAPPED
