"""Rerouting to a skill that asks for a language, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, send
from playwright.sync_api import Page, expect
from polling import eventually

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def test_rerouting_to_translation_asks_for_the_language(visit: Visit, quick: Any) -> None:
    page, before = visit(quick), quick.feedback.corrections()
    answer = send(page, "The train leaves at ten.")
    chips = page.locator(".pb-again > *")
    places = [chip.bounding_box() for chip in chips.all()]
    page.locator(".pb-into summary", has_text="Translation").press("Enter")
    select = page.get_by_role("combobox", name="Into")
    expect(select).to_be_focused()
    assert [chip.bounding_box() for chip in chips.all()] == places  # none moves
    assert select.locator("optgroup").first.locator("option").all_inner_texts() == [
        "French",
        "German",
    ]
    page.keyboard.press("Escape")
    expect(select).to_be_hidden()
    expect(page.locator(".pb-into summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(select).to_be_focused()
    page.keyboard.type("Ger")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    route = page.locator(".pb-route summary")
    expect(route).to_contain_text("to German")
    expect(answer).to_contain_text("[translation-fake]")
    assert quick.agent.planner.given[-1] is None
    [kept] = [row for row in quick.feedback.corrections() if row not in before]
    assert kept.tasks == ["translation"]

    # The language can be changed again; the choice stays with the turn, and can be undone.
    page.locator(".pb-into summary").click()
    select.select_option("Spanish")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(route).to_contain_text("to Spanish")
    expect(answer).to_contain_text("[base]")
    page.reload()
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".pb-versions")).to_contain_text("4 of 4")
    expect(route).to_contain_text("to Spanish")
    for name in ("to Spanish", "to German", "Chat"):
        page.get_by_role("button", name="Undo").click()
        expect(route).to_contain_text(name)
    assert eventually(lambda: quick.feedback.corrections() == before)


def test_a_picked_plan_can_be_to_another_language(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN", **PHONE)
    answer = send(page, "Perhaps summarize and translate the minutes")
    page.locator(".pb-chips .pb-into summary").tap()
    select = page.get_by_role("combobox", name="译成")
    expect(select).to_be_focused()
    shown = "(select) => select.selectedOptions[0].label"
    assert select.evaluate(shown) == "德语"  # French is what the plan has
    assert_fits(page)
    select.select_option("es")
    page.locator(".pb-chips .pb-into").get_by_role("button", name="回答").tap()
    expect(answer.locator(".pb-step").nth(1)).to_contain_text("译成西班牙语", use_inner_text=True)
    kept = quick.feedback.corrections()[-1]
    assert kept.tasks == ["summarization", "translation"]


def test_a_language_that_is_none_is_refused(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "The train leaves at ten.")
    page.locator(".pb-into summary").click()
    page.locator(".pb-into select").evaluate(
        "(select) => { select.add(new Option('x', 'nonsense')); select.value = 'nonsense'; }"
    )
    page.locator(".pb-into [data-act=reroute]").click()
    expect(page.locator(".pb-error")).to_contain_text("target='nonsense' is no language")
