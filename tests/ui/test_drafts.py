"""What was written and not yet sent survives a reload, a closed tab, a lost connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import send
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def again(page: Page) -> Page:
    """A new tab of the same browser, after this one was closed."""
    address, context = page.url, page.context
    page.close()
    fresh = context.new_page()
    fresh.goto(address.partition("#")[0])
    fresh.wait_for_selector("html[data-ready]")
    return fresh


def test_a_draft_survives_a_reload_and_a_closed_tab(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    page.locator("#pb-text").fill("half a thou")
    page.reload()
    expect(page.locator("#pb-text")).to_have_value("half a thou")
    expect(page.locator(".pb-send")).to_be_enabled()
    page = again(page)
    expect(page.locator("#pb-text")).to_have_value("half a thou")
    send(page, "half a thought")
    page.reload()
    expect(page.locator(".pb-said")).to_have_text("half a thought")
    expect(page.locator("#pb-text")).to_have_value("")


def test_each_conversation_has_its_own_draft(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "first")
    page.locator("#pb-text").fill("more of the first")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".pb-said")).to_have_count(0)
    expect(page.locator("#pb-text")).to_have_value("")
    page.locator("#pb-text").fill("of a second")
    page.locator(".pb-chat", has_text="first").click()
    expect(page.locator("#pb-text")).to_have_value("more of the first")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#pb-text")).to_have_value("of a second")


def test_an_edit_and_its_turn_survive(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "one")
    send(page, "two")
    page.locator(".pb-request").first.hover()
    page.get_by_role("button", name="Edit").first.click()
    page.locator("#pb-text").fill("one, better")
    page = again(page)
    expect(page.get_by_text("Editing an earlier request")).to_be_visible()
    expect(page.locator("#pb-text")).to_have_value("one, better")
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-said")).to_have_text(["one, better"])


def test_a_pasted_text_and_instructions_survive(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Instructions for this conversation").fill("Be brief.")
    page.locator("#pb-text").focus()
    paste = """() => {
        const transfer = new DataTransfer();
        transfer.setData("text/plain", "It rained. ".repeat(300));
        const init = {clipboardData: transfer, bubbles: true, cancelable: true};
        document.querySelector("#pb-text").dispatchEvent(new ClipboardEvent("paste", init));
    }"""
    page.evaluate(paste)
    chip = page.locator(".pb-composer .pb-file")
    expect(chip).to_have_attribute("data-state", "ready", timeout=90_000)
    page = again(page)
    expect(page.locator(".pb-composer .pb-file")).to_contain_text("Pasted text")
    expect(page.locator("#pb-own")).to_have_value("Be brief.")


def test_a_connection_lost_while_sending_loses_nothing(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "before")
    page.context.set_offline(True)
    page.locator("#pb-text").fill("while nobody is there")
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-lost")).to_be_visible()
    expect(page.locator("#pb-text")).to_have_value("while nobody is there")
    with page.expect_navigation():  # Gradio reloads the page when the server is back
        page.context.set_offline(False)
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-said")).to_have_text(["before"])
    expect(page.locator("#pb-text")).to_have_value("while nobody is there")
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-said")).to_have_text(["before", "while nobody is there"])


def test_an_answer_that_is_cut_off_by_a_reload_is_kept_as_far_as_it_came(
    visit: Visit, slow: Any
) -> None:
    page = visit(slow)
    words = " ".join(f"word{n}" for n in range(400))
    answer = send(page, words, wait=False)
    expect(answer).to_contain_text("word60")
    page.reload()
    expect(page.locator(".bot-row")).to_contain_text("Stopped")
    expect(page.locator(".bot-row")).to_contain_text("word10")
