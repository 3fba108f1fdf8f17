"""Each state of the page, in both languages, before axe-core; keys, small windows, big letters."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from browse import LONG, PHONE, assert_fits, send
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
# Of Gradio, around our parts and not ours to change: where its own page has its landmarks.
NOT_OURS = ["region", "landmark-one-main", "page-has-heading-one"]


def violations(page: Page) -> list[str]:
    """What axe-core finds, a line each."""
    page.wait_for_timeout(300)  # what fades in has its colours then
    page.evaluate(AXE)
    found = page.evaluate(
        "(off) => axe.run({rules: Object.fromEntries(off.map((id) => [id, {enabled: false}]))})",
        NOT_OURS,
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def first(page: Page) -> None:
    """The first screen as it is."""


def chat(page: Page) -> None:
    send(page, "Why is the sky blue?")
    page.locator("[data-act=retry]").click()
    expect(page.locator(".pb-versions")).to_be_visible()
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")


def compound(page: Page) -> None:
    send(page, "Summarize and translate this")
    page.locator(".pb-route summary").click()


def bars(page: Page) -> None:
    send(page, "This review says positive things, then something else again")


def question(page: Page) -> None:
    send(page, "Perhaps summarize and translate the minutes")


def panel(page: Page) -> None:
    send(page, "Hello")
    if page.locator("[data-act=menu]").is_visible():
        page.locator("[data-act=menu]").click()
    page.locator(".pb-chats li").first.hover()
    page.locator(".pb-more summary").first.click()


def commands(page: Page) -> None:
    page.locator("#pb-text").press_sequentially("/")


def fault(page: Page) -> None:
    send(page, "Translate " + "word " * 600)


def rename(page: Page) -> None:
    panel(page)
    page.locator("[data-act=rename]").first.click()


def disliked(page: Page) -> None:
    send(page, "Why is the sky blue?")
    page.locator("[data-act=dislike]").click()
    expect(page.locator(".pb-better form")).to_be_visible()


def language(page: Page) -> None:
    send(page, "Why is the sky blue?")
    page.locator(".pb-into summary").click()


def options(page: Page) -> None:
    page.locator(".pb-own summary").click()
    page.locator(".pb-wishes input").first.fill("99")


CHATTING = (first, chat, compound, bars, question, fault, disliked, language)
STATES = (*CHATTING, panel, commands, rename, options)


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_no_violation_in_any_state(visit: Visit, quick: Any, locale: str, look: str) -> None:
    kind = PHONE if look == "phone" else {"color_scheme": look}
    found = {}
    for state in STATES:
        page = visit(quick, locale=locale, **kind)
        state(page)
        found[state.__name__] = violations(page)
        page.context.close()
    assert {name: seen for name, seen in found.items() if seen} == {}


def test_escape_stops_an_answer_and_leaves_an_edit(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    answer = send(page, LONG, wait=False)
    expect(answer).to_contain_text("word word")
    page.keyboard.press("Escape")
    expect(answer).to_contain_text("Stopped")
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    page.locator(".pb-request").hover()
    page.get_by_role("button", name="Edit").click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Editing an earlier request")).to_be_hidden()
    expect(page.locator("#pb-text")).to_have_value("")


def test_the_composer_has_the_focus_and_comes_first(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    expect(page.locator("#pb-text")).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    inside = []
    for _ in range(2):
        page.keyboard.press("Tab")
        inside.append(page.evaluate("Boolean(document.activeElement.closest('.pb-composer'))"))
    assert inside == [True, True]


def test_copying_a_compound_takes_all_steps_or_one(visit: Visit, quick: Any) -> None:
    page = visit(quick, permissions=["clipboard-read", "clipboard-write"])
    send(page, "Summarize and translate this")
    for name, wanted in (
        ("Copy all steps", "[base] {0}\n\n[translation-fake] [base] {0}"),
        ("Copy this step", "[base] {0}"),
    ):
        page.get_by_role("button", name=name).first.click()
        page.wait_for_selector("[data-act=copy][data-done]")
        told = page.evaluate("navigator.clipboard.readText()")
        assert told == wanted.format("Summarize and translate this")
        expect(page.locator("[data-act=copy][data-done]")).to_have_count(0)


def test_bars_unlock_the_composer_before_the_words_are_weighed(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Any]
) -> None:
    page = visit(serve(fake_agent(delay=0.3)))  # for the bars, and for each of a dozen pieces
    answer = send(page, "This review says " + "good things, " * 12, wait=False)
    expect(answer.locator(".pb-bars")).to_be_visible()
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    expect(answer.locator(".pb-working")).to_be_visible()
    send(page, "Hello")
    expect(page.locator(".bot-row").first.locator(".pb-bars li")).to_have_count(3)
    expect(page.locator(".bot-row").first).not_to_contain_text("Stopped")
    expect(page.locator(".bot-row").last).to_contain_text("[base] Hello")


def test_scrolling_up_during_an_answer_lets_go_at_once(visit: Visit, slow: Any) -> None:
    page = visit(slow, viewport={"width": 900, "height": 420})
    send(page, " ".join(f"word{n}" for n in range(600)), wait=False)
    expect(page.locator(".bot-row")).to_contain_text("word60", timeout=60_000)
    area = "document.querySelector('#pb-chat-log .bubble-wrap, #pb-chat-log .panel-wrap')"
    end = f"(({area}).scrollHeight - ({area}).clientHeight - ({area}).scrollTop)"
    assert page.evaluate(end) < 40  # it followed
    page.mouse.move(500, 200)
    page.mouse.wheel(0, -30)
    page.wait_for_timeout(300)
    stayed = page.evaluate(f"({area}).scrollTop")
    expect(page.locator(".bot-row")).to_contain_text("word100", timeout=60_000)
    assert page.evaluate(f"({area}).scrollTop") == stayed
    page.keyboard.press("Escape")
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    page.reload()  # a conversation opens at its end
    expect(page.locator(".bot-row")).to_contain_text("Stopped")
    page.wait_for_function(f"{end} < 40")


def test_bars_share_a_column_for_their_labels(visit: Visit, quick: Any) -> None:
    page = visit(quick, **PHONE)
    send(page, "Which section? a long way round for a text about sport")
    starts = page.locator(".pb-bar").evaluate_all(
        "all => all.map(o => o.getBoundingClientRect().x)"
    )
    assert len(starts) > 2
    assert max(starts) - min(starts) < 1


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_first_press_of_the_theme_changes_the_colours(
    visit: Visit, quick: Any, colours: str
) -> None:
    page = visit(quick, color_scheme=colours)
    background = "getComputedStyle(document.querySelector('.gradio-container')).backgroundColor"
    seen = [page.evaluate(background)]
    for _ in range(3):
        page.locator("[data-act=theme]").click()
        seen.append(page.evaluate(background))
    assert seen[0] != seen[1] != seen[2]
    assert seen[3] == seen[0]


@pytest.mark.parametrize(
    "window", [{"width": 320, "height": 640}, {"width": 640, "height": 400}], ids=["320", "zoom"]
)
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_is_cut_off_in_a_narrow_window_or_in_large_letters(
    visit: Visit, quick: Any, locale: str, window: dict[str, int]
) -> None:
    page = visit(quick, locale=locale, viewport=window)  # 1280 by 800 at 200% is the second
    assert_fits(page)
    send(page, "Summarize and translate and review positive " + "x" * 200)
    page.locator("[data-act=retry]").click()
    expect(page.locator(".pb-versions")).to_be_visible()
    page.locator(".pb-route summary").click()
    assert_fits(page)
    expect(page.locator("#pb-text")).to_be_in_viewport(ratio=1)
