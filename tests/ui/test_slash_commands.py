"""The commands that a slash offers, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, assert_nothing_sent, send
from playwright.sync_api import Locator, Page, expect

from agent.agent import Agent
from tasks.spec import Both

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def offered(page: Page) -> Locator:
    """The options that can be seen."""
    return page.locator("#pb-commands [role=option]:visible")


def active(page: Page) -> Locator:
    """The option that a screen reader is told of; the one marked as selected."""
    name = page.locator("#pb-text").get_attribute("aria-activedescendant")
    selected = page.locator("#pb-commands [aria-selected=true]")
    expect(selected).to_have_id(str(name))
    return selected


def test_a_slash_offers_every_skill_and_the_keyboard_takes_one(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    box = page.locator("#pb-text")
    expect(page.get_by_role("listbox")).to_have_count(0)
    box.press_sequentially("/")
    expect(page.get_by_role("listbox", name="Commands")).to_be_visible()
    expect(offered(page)).to_have_count(len(quick.agent.tasks) + 1)
    expect(page.get_by_role("status").filter(has_text="commands.")).to_contain_text("6")
    for task in quick.agent.tasks.values():
        option = page.get_by_role("listbox").get_by_role("option", name=task.title.en)
        expect(option).to_be_visible()
    expect(active(page)).to_contain_text("/chat")
    box.press("ArrowDown")
    expect(active(page)).to_contain_text("/summarize")
    box.press("ArrowUp")
    box.press("ArrowUp")
    expect(active(page)).to_contain_text("/help")
    box.press("ArrowDown")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("/summarize ")
    expect(box).to_be_focused()
    expect(page.get_by_role("listbox")).to_have_count(0)
    assert box.get_attribute("aria-activedescendant") is None
    assert_nothing_sent(page)


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("/tra", "/translate "),
        ("/TL", "/summarize "),  # by another name of it
        ("/sort", "/classify "),  # by its title
        ("/译", "/translate "),
        ("、情感", "/sentiment "),  # as an input method makes a slash
    ],
)
def test_what_is_typed_narrows_the_list(visit: Visit, quick: Any, typed: str, taken: str) -> None:
    page = visit(quick)
    box = page.locator("#pb-text")
    box.press_sequentially(typed)
    expect(active(page)).to_contain_text(taken.strip())
    box.press("Tab")
    expect(box).to_have_value(taken)
    expect(box).to_be_focused()


def test_a_slash_put_before_a_text_keeps_the_text(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    box = page.locator("#pb-text")
    box.fill("The train is late.")
    box.press("Control+Home")
    box.press_sequentially("/su")
    expect(offered(page)).to_have_count(1)
    box.press("Enter")
    expect(box).to_have_value("/summarize The train is late.")


def test_escape_and_whatever_is_no_command_leave_the_keys_alone(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    box = page.locator("#pb-text")
    box.press_sequentially("/su")
    box.press("Escape")
    box.press_sequentially("m")
    expect(offered(page)).to_have_count(0)
    box.press("Enter")
    expect(page.locator(".pb-said")).to_have_text("/sum")
    for text in ("either/or", "a /su", "/usr/bin", "/summarize it"):
        box.fill("")
        box.press_sequentially(text)
        expect(offered(page)).to_have_count(0)
    box.fill("")
    box.press_sequentially("/")
    expect(offered(page)).to_have_count(6)
    box.press("Shift+Enter")
    expect(box).to_have_value("/\n")
    expect(offered(page)).to_have_count(0)


def test_a_whole_command_is_sent_by_enter_as_ever(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "a text")
    for command in ("/summarize", "/tldr", "/help"):
        page.locator("#pb-text").press_sequentially(command)
        expect(offered(page)).to_have_count(1)
        page.locator("#pb-text").press("Enter")
        expect(page.locator(".pb-said").last).to_have_text(command)
        expect(page.locator("html")).not_to_have_attribute("data-busy", "true")


def test_enter_within_a_composition_is_the_input_methods(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    box = page.locator("#pb-text")
    box.press_sequentially("/")
    keyboard = page.context.new_cdp_session(page)
    composed = {"text": "摘", "selectionStart": 1, "selectionEnd": 1}
    keyboard.send("Input.imeSetComposition", composed)
    for key in ("Enter", "ArrowDown", "Tab", "Escape"):
        options = f"{{key: '{key}', isComposing: true, bubbles: true, cancelable: true}}"
        kept = f"(area) => area.dispatchEvent(new KeyboardEvent('keydown', {options}))"
        assert box.evaluate(kept)  # false would be: prevented
    expect(box).to_have_value("/摘")
    keyboard.send("Input.insertText", {"text": "摘要"})
    expect(offered(page)).to_have_count(1)
    expect(active(page)).to_contain_text("摘要", use_inner_text=True)
    box.press("Enter")
    expect(box).to_have_value("/summarize ")
    assert_nothing_sent(page)


@pytest.mark.parametrize("look", [{}, {**PHONE}, {"locale": "zh-CN", "color_scheme": "dark"}])
def test_a_press_takes_one_and_it_fits(visit: Visit, quick: Any, look: dict[str, Any]) -> None:
    page = visit(quick, **look)
    box = page.locator("#pb-text")
    box.press_sequentially("/")
    expect(page.locator("#pb-commands")).to_be_in_viewport(ratio=1)
    assert_fits(page)
    option = offered(page).filter(has_text="/translate")
    option.tap() if "has_touch" in look else option.click()
    expect(box).to_have_value("/translate ")
    expect(box).to_be_focused()
    box.press_sequentially("/")
    page.locator("h1").click()
    expect(offered(page)).to_have_count(0)


def test_a_skill_of_ones_own_is_offered(
    visit: Visit, serve: Callable[[Agent], Any], fake_agent: Callable[..., Agent]
) -> None:
    agent = fake_agent()
    own = {"name": "urgency", "title": Both(en="Urgency", zh="紧急程度"), "commands": ["urgent"]}
    agent.tasks["urgency"] = agent.tasks["sentiment"].model_copy(update=own)  # type: ignore[index]
    page = visit(serve(agent), locale="zh-CN")
    page.locator("#pb-text").press_sequentially("/紧急")
    expect(offered(page)).to_have_count(1)
    expect(active(page)).to_contain_text("/urgent")
