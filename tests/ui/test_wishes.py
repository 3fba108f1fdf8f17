"""Temperature and length of a conversation, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, send
from playwright.sync_api import Page, expect

from engine.interface import WriteRequest
from ui.conversation import read

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def test_they_are_kept_used_and_said(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    page.get_by_text("Options", exact=True).click()
    page.get_by_role("spinbutton", name="Temperature").fill("0.7")
    page.get_by_role("spinbutton", name="Length").fill("3")
    page.keyboard.press("Escape")
    page.reload()  # a draft has them too
    page.wait_for_selector("html[data-ready]")
    answer = send(page, "one two three four five six")
    expect(answer).to_contain_text("Length limit reached")
    asked = quick.agent.engine.calls[-1]
    assert isinstance(asked, WriteRequest)
    assert (asked.decoding.temperature, asked.decoding.max_new_tokens) == (0.7, 3)
    answer.locator(".pb-route summary").click()
    expect(answer.locator(".pb-why")).to_contain_text("temperature 0.7")
    expect(answer.locator(".pb-why")).to_contain_text("at most 3 tokens")

    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.get_by_text("Options", exact=True).click()
    expect(page.get_by_role("spinbutton", name="Temperature")).to_have_value("0.7")
    page.get_by_role("spinbutton", name="Length").fill("")
    page.get_by_role("spinbutton", name="Temperature").fill("0")
    page.keyboard.press("Escape")
    answer = send(page, "one two three four five six")
    expect(answer).to_contain_text("five six")
    answer.locator(".pb-route summary").click()
    expect(answer.locator(".pb-why")).to_contain_text("temperature 0 ", use_inner_text=True)
    expect(answer.locator(".pb-why")).to_contain_text("at most 512 tokens")

    chosen = send(page, "Is this review positive?")
    chosen.locator(".pb-route summary").click()
    expect(chosen.locator(".pb-why")).not_to_contain_text("temperature")


def test_what_is_no_such_number_says_so_and_is_not_used(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN", **PHONE)
    page.get_by_text("选项", exact=True).tap()
    box = page.get_by_role("spinbutton", name="温度")
    box.fill("7")
    expect(page.locator("#pb-temperature")).to_contain_text(
        "未采用：不在 0 到 2 之间", use_inner_text=True
    )
    assert_fits(page)
    page.keyboard.press("Escape")
    send(page, "one two three")
    assert quick.agent.engine.calls[-1].decoding.temperature == 0.2


def test_wishes_that_make_no_sense_cost_nothing() -> None:
    turns = [{"text": "hello"}]
    kept = read({"turns": turns, "wishes": {"temperature": 99}})
    assert (len(kept.turns), kept.wishes.temperature) == (1, None)
