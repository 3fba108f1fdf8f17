"""The page about what answers, and the choice of adapters for a conversation, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, send
from playwright.sync_api import Browser, Page, expect

from agent.agent import Agent

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def facts(page: Page, site: Any) -> Page:
    """Go to the page about adapters, and wait for it."""
    page.goto(f"{site.address}/adapters/")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-facts").first).to_be_visible()
    return page


def test_planner_base_and_adapters_stand_there(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    page.get_by_role("link", name="Adapters").click()
    page.wait_for_selector("html[data-ready]")
    cards = page.locator(".pb-facts")
    expect(cards.first).to_contain_text("Right plans")
    expect(cards.nth(1)).to_contain_text("fake, none; reads 300 tokens")
    expect(cards.nth(2)).to_contain_text("translation-fake")
    expect(cards.nth(2)).to_contain_text("the task's own choice")
    expect(cards.nth(2)).to_contain_text("Not judged")
    page.get_by_role("link", name="Back to the chat").click()
    page.wait_for_selector("#pb-text")


def test_one_request_is_answered_beside_the_base(visit: Visit, quick: Any) -> None:
    page = facts(visit(quick), quick)
    page.locator("#pb-try-go").click()
    expect(page.locator("#pb-with")).to_contain_text("Write a request first")
    page.locator("#pb-try-text textarea").fill("The <b>train</b> leaves.")
    page.locator("#pb-try-go").click()
    expect(page.locator("#pb-with blockquote")).to_contain_text("[translation-fake] The <b>train")
    expect(page.locator("#pb-without blockquote")).to_contain_text("[base] The <b>train</b>")
    expect(page.locator("#pb-without .pb-warn").first).to_contain_text("as was chosen")
    assert [call.adapter for call in quick.agent.engine.calls[-2:]] == ["translation-fake", None]


def test_it_speaks_chinese_on_a_phone(visit: Visit, quick: Any) -> None:
    page = facts(visit(quick, locale="zh-CN", **PHONE), quick)
    expect(page.locator("#pb-try-go")).to_have_text("对比")
    expect(page.locator(".pb-facts").nth(2)).to_contain_text("没有评测过")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_conversation_uses_the_adapters_that_were_chosen(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    expect(send(page, "translate this")).to_contain_text("[translation-fake]")
    page.locator(".pb-own summary").click()
    none = page.locator(".pb-use select[data-task=translation] option").last
    expect(none).to_have_attribute("label", "none, the base alone")
    page.locator("[data-language=zh]").click()
    expect(none).to_have_attribute("label", "不用，仅基础模型")
    page.locator("[data-language=en]").click()
    page.locator(".pb-own summary").click()  # a press elsewhere closed it
    page.locator(".pb-use select[data-task=translation]").select_option("use:")
    expect(page.locator(".pb-own")).to_have_attribute("data-set", "true")
    page.keyboard.press("Escape")
    answer = send(page, "translate this too")
    expect(answer).to_contain_text("[base]")
    expect(answer.locator(".pb-warn").first).to_contain_text("as was chosen")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-use select[data-task=translation]")).to_have_value("use:")
    page.locator("[data-act=fresh]").click()
    expect(page.locator(".pb-own")).to_have_attribute("data-set", "false")
    expect(send(page, "translate this again")).to_contain_text("[translation-fake]")


def test_who_must_log_in_sees_and_tries_what_the_key_may_use(
    chromium: Browser, serve: Callable[..., Any], fake_agent: Callable[..., Agent]
) -> None:
    keys = {"bob": {"key": "bob-0123456789abcdef", "adapters": ["another"]}}
    site = serve(fake_agent(), api_keys=keys)
    page = chromium.new_page()
    page.goto(f"{site.address}/adapters/")  # sent to where one logs in
    page.get_by_label("username").fill("bob")
    page.get_by_label("password").fill("bob-0123456789abcdef")
    page.get_by_role("button", name="Login").click()
    page.wait_for_selector("html[data-ready]")
    facts(page, site)
    expect(page.locator(".pb-facts")).to_have_count(2)
    expect(page.get_by_text("translation-fake")).to_have_count(0)
    page.close()
