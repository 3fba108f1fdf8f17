"""Answers and requests have versions, and none is lost: in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from browse import send
from playwright.sync_api import Page, expect
from polling import eventually

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def rested(page: Page) -> None:
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")


def change(page: Page, at: int, text: str) -> None:
    """Edit a request and send it."""
    page.locator(".pb-request").nth(at).hover()
    page.locator("[data-act=edit]").nth(at).click()
    send(page, text)


def test_editing_an_early_turn_makes_a_branch_and_loses_nothing(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    for text in ("one", "two", "three"):
        send(page, text)
    change(page, 0, "uno")
    expect(page.locator(".pb-said")).to_have_text(["uno"])
    expect(page.locator(".pb-versions")).to_contain_text("2 of 2")
    send(page, "dos")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".pb-said")).to_have_text(["one", "two", "three"])
    change(page, 1, "two, changed")
    expect(page.locator(".pb-said")).to_have_text(["one", "two, changed"])
    page.reload()
    expect(page.locator(".pb-said")).to_have_text(["one", "two, changed"])
    page.get_by_role("button", name="Previous version").last.click()
    expect(page.locator(".pb-said")).to_have_text(["one", "two", "three"])
    page.get_by_role("button", name="Next version").first.click()
    expect(page.locator(".pb-said")).to_have_text(["uno", "dos"])
    page.get_by_role("button", name="Previous version").click()  # where it was left
    expect(page.locator(".pb-said")).to_have_text(["one", "two", "three"])


def test_regenerated_and_rerouted_answers_stay(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    send(page, "The train leaves at nine.")
    page.get_by_role("button", name="重新回答").click()
    rested(page)
    page.locator("[data-act=reroute][data-task=summarization]").click()
    rested(page)
    place = page.locator(".pb-versions")
    expect(place).to_contain_text("第 3 个，共 3 个", use_inner_text=True)
    route = page.locator(".pb-route summary strong")
    expect(route).to_contain_text("摘要", use_inner_text=True)
    page.get_by_role("button", name="上一个版本").click()
    expect(place).to_contain_text("第 2 个，共 3 个", use_inner_text=True)
    expect(route).to_contain_text("对话", use_inner_text=True)
    expect(page.locator("[data-act=version][data-by='-1']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(place).to_contain_text("第 1 个，共 3 个", use_inner_text=True)
    expect(page.locator("[data-act=version][data-by='-1']")).to_be_disabled()


def test_what_follows_reads_the_version_that_is_shown(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Any]
) -> None:
    site = serve(fake_agent())
    page = visit(site)
    send(page, "the blue one")
    change(page, 0, "the red one")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".pb-said")).to_have_text(["the blue one"])
    send(page, "and then?")
    given = [message["content"] for message in site.agent.engine.calls[-1].messages]
    assert "the blue one" in given
    assert "the red one" not in given


def test_two_tabs_that_answer_at_once_lose_nothing(visit: Visit, slow: Any) -> None:
    first = visit(slow)
    send(first, "a beginning")
    second = first.context.new_page()
    second.goto(first.url)
    second.wait_for_selector("html[data-ready]")
    send(first, "left left left left", wait=False)
    send(second, "right right right right", wait=False)
    for page in (first, second):
        rested(page)
        expect(page.locator(".pb-working")).to_have_count(0)
    first.reload()
    expect(first.locator(".pb-versions")).to_contain_text("of 2")
    shown = {first.locator(".pb-said").last.inner_text()}
    first.locator("[data-act=version]:not(:disabled)").click()
    expect(first.locator(".pb-said").last).not_to_have_text(shown.copy().pop())
    shown.add(first.locator(".pb-said").last.inner_text())
    assert shown == {"left left left left", "right right right right"}


def test_what_earlier_versions_stored_is_taken_over_whole(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    turns = [
        {
            "id": f"turn{n}",
            "text": f"old request {n}",
            "status": "done",
            "steps": [{"task": "generation", "status": "done", "text": f"old answer {n}"}],
        }
        for n in (1, 2)
    ]
    stored = {"at": 1_700_000_000_000, "conversation": {"id": "old", "title": "x", "turns": turns}}
    page.evaluate(
        """([key, value]) => {
            localStorage.clear();
            localStorage.setItem(key, value);
        }""",
        ["patchbay.kept.old", json.dumps(stored)],
    )
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-when")).to_contain_text("Older", use_inner_text=True)
    page.locator(".pb-chat", has_text="old request 1").click()
    expect(page.locator(".pb-said")).to_have_text(["old request 1", "old request 2"])
    expect(page.locator(".bot-row").last).to_contain_text("old answer 2")
    assert page.evaluate("localStorage.getItem('patchbay.kept.old')") is None
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".pb-versions")).to_contain_text("2 of 2")
    rested(page)
    kept = "patchbayStore.open('old').then(({turns}) => turns.map((turn) => turn.status))"
    assert eventually(lambda: page.evaluate(kept) == ["done"] * 3)  # a moment after it is drawn
    page.reload()
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".bot-row").last).to_contain_text("old answer 2")


def test_a_reroute_and_its_example_can_be_undone(visit: Visit, quick: Any) -> None:
    page, before = visit(quick), quick.feedback.corrections()
    send(page, "The train leaves at ten.")
    chips = page.locator("[data-act=reroute]")
    order = chips.all_inner_texts()
    for task in ("summarization", "sentiment"):
        page.locator(f"[data-act=reroute][data-task={task}]").click()
        expect(page.locator(f"[data-act=reroute][data-task={task}]")).to_be_disabled()
        rested(page)
        assert chips.all_inner_texts() == order  # none moved under the pointer
    route = page.locator(".pb-route summary strong")
    for skill, kept in (("Sentiment", "sentiment"), ("Summary", "summarization")):
        expect(route).to_contain_text(skill)
        now = [row.tasks for row in quick.feedback.corrections() if row not in before]
        assert now == [[kept]]
        page.get_by_role("button", name="Undo").click()
    expect(route).to_contain_text("Chat")
    assert eventually(lambda: quick.feedback.corrections() == before)
