"""Where the planner is uncertain the page asks which plan is meant, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, send
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
UNSURE = "Perhaps summarize and translate the minutes"


def test_one_press_runs_the_plan_and_is_kept(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "Summarize: it was a long day")
    before = quick.agent.engine.passes
    answer = send(page, UNSURE)
    question = answer.get_by_role("group", name="Which did you mean?")
    expect(question.get_by_role("button")).to_have_count(2)
    first = question.get_by_role("button", name="Summary → Translation to French 48%")
    expect(first).to_be_visible()
    expect(question.get_by_role("button", name="Chat 41%")).to_be_visible()
    expect(question).to_contain_text("Your choice is kept as a routing example")
    assert quick.agent.engine.passes == before
    page.reload()
    expect(question.get_by_role("button")).to_have_count(2)
    first.click()
    expect(answer.locator(".pb-step").nth(1)).to_contain_text("done")
    expect(answer.locator(".pb-kept")).to_contain_text("Thank you")
    answer.locator(".pb-route summary").click()
    expect(answer.locator(".pb-why")).to_contain_text("your pick of two routes")
    kept = quick.feedback.corrections()[-1]
    assert (kept.request, kept.tasks) == (UNSURE, ["summarization", "translation"])
    assert (kept.instead_of, kept.follows) == (kept.tasks, ["summarization"])
    page.get_by_role("button", name="Regenerate").click()
    expect(answer.locator(".pb-step").nth(1)).to_contain_text("done")
    send(page, "and now?")
    assert quick.agent.engine.passes > before


@pytest.mark.parametrize(("locale", "other"), [("en-US", "Chat"), ("zh-CN", "对话")])
def test_on_a_phone_it_fits_and_another_skill_is_a_press_away(
    visit: Visit, quick: Any, locale: str, other: str
) -> None:
    page = visit(quick, locale=locale, **PHONE)
    first = send(page, UNSURE)
    assert_fits(page)
    first.locator(".pb-chip", has_text=other).tap()
    expect(first.locator(".pb-route summary strong")).to_contain_text(other, use_inner_text=True)
    second = send(page, UNSURE)
    second.locator("[data-act=reroute][data-task=sentiment]").tap()
    expect(second.locator(".pb-bars")).to_be_visible()
    kept = quick.feedback.corrections()[-2:]
    assert [row.tasks for row in kept] == [["generation"], ["sentiment"]]


def test_an_older_question_can_no_longer_be_answered(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    question = send(page, UNSURE).locator(".pb-asks")
    send(page, "Something else")
    chips = page.locator(".pb-asks").first.get_by_role("button")
    expect(chips).to_have_count(2)
    expect(chips.first).to_be_disabled()
    expect(question.locator("xpath=..").locator("[data-act=undo]")).to_have_count(0)
