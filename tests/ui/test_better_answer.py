"""A dislike asks what was wrong, and for a better answer; neither needs to be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, send
from playwright.sync_api import Page, expect

from ui.better import draw_better
from ui.conversation import TurnView

Visit = Callable[..., Page]


def test_only_a_disliked_answer_asks_and_what_is_drawn_is_text() -> None:
    turn = TurnView(text="Hi", wrong="<b>", better="</textarea><script>")
    assert [draw_better(turn.model_copy(update={"rating": n})) for n in (0, 1)] == ["", ""]
    drawn = draw_better(turn.model_copy(update={"rating": -1}))
    assert "&lt;b&gt;" in drawn
    assert drawn.count("</textarea>") == 2
    assert "<script>" not in drawn


@pytest.mark.browser
@pytest.mark.parametrize("look", [{}, PHONE | {"locale": "zh-CN"}])
def test_a_better_answer_is_kept_by_keyboard(
    visit: Visit, quick: Any, look: dict[str, Any]
) -> None:
    page, others = visit(quick, **look), quick.feedback.ratings()

    def kept() -> list[tuple[int, str, str]]:
        new = [row for row in quick.feedback.ratings() if row not in others]
        return [(row.rating, row.wrong, row.better) for row in new]

    send(page, "Translate this: good evening")
    page.locator("[data-act=dislike]").press("Enter")
    form = page.locator(".pb-better form")
    expect(form.locator("[name=wrong]")).to_be_focused()
    assert kept() == [(-1, "", "")]
    assert_fits(page)
    page.keyboard.type("It is not French.")
    page.keyboard.press("Tab")
    page.keyboard.type("Bonsoir")
    page.keyboard.press("Control+Enter")
    summary = page.locator(".pb-better summary")
    expect(summary).to_be_focused()
    expect(form).to_be_hidden()
    said = "你的更正已保存" if look else "Your correction is kept"
    expect(summary).to_contain_text(said, use_inner_text=True)
    assert kept() == [(-1, "It is not French.", "Bonsoir")]
    [row] = [row for row in quick.feedback.ratings() if row not in others]
    assert row.request == "Translate this: good evening"
    assert row.answer.startswith("[translation-fake]")
    page.reload()
    summary.press("Enter")
    expect(form.locator("[name=better]")).to_have_value("Bonsoir")
    page.locator("[data-act=like]").click()
    expect(summary).to_have_count(0)
    assert kept() == [(1, "", "")]


@pytest.mark.browser
def test_the_form_closes_with_nothing_said_and_what_is_typed_outlives_the_next_answer(
    visit: Visit, quick: Any
) -> None:
    page = visit(quick)
    send(page, "Translate this: good night")
    page.get_by_role("button", name="Bad answer").click()
    wrong = page.get_by_role("textbox", name="What was wrong?")
    expect(wrong).to_be_focused()
    page.keyboard.press("Escape")
    expect(wrong).to_be_hidden()
    summary = page.locator(".pb-better summary")
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    wrong.fill("Too long")
    send(page, "And now something else")
    expect(wrong).to_have_value("Too long")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(wrong).to_be_hidden()
    page.get_by_role("button", name="Bad answer").first.click()
    expect(summary).to_have_count(0)
