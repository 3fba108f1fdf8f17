"""Every refusal of the workshop has its sentence in Chinese, with the values of the English one."""

from __future__ import annotations

from said_in_code import REFUSALS, braces, said_in_code

from core.errors import PatchbayError
from ui.words import words
from ui.workshop_refusal import draw_refusal
from workshop.refusal import Refusal


def test_every_refusal_is_said_in_chinese() -> None:
    raised = said_in_code(REFUSALS, "workshop", "ui")
    assert len(raised) > 8
    for key, message in raised.items():
        chinese = words()[f"said.refused.{key}"].zh
        assert braces(chinese) <= braces(message), key


def test_what_has_no_sentence_of_its_own_is_shown_in_english_below() -> None:
    drawn = draw_refusal(PatchbayError("The <disk> is full."))
    assert drawn.count("The &lt;disk&gt; is full.") == 2
    assert "详细信息（英文）" in drawn
    one = draw_refusal(Refusal("taken", "There is {name} already.", name="<b>"))
    assert "There is &lt;b&gt; already." in one
    assert "已有名为“&lt;b&gt;”的适配器" in one
