"""The whole house in a real browser: real router, real starter model, real page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from polling import settled

from agent.agent import Agent
from agent.planning.planner import Planner
from engine.engine import TorchEngine
from tasks.spec import load_tasks

pytestmark = [pytest.mark.browser, pytest.mark.starter]


@pytest.fixture(scope="module")
def page(
    serve_shared: Callable[[Agent], Any], starter_engine: TorchEngine, planner: Planner
) -> Any:
    return serve_shared(Agent(starter_engine, load_tasks(), planner))


def test_a_person_asks_in_both_languages_overrides_and_stops(
    visit: Callable[..., Page], page: Any, starter_engine: TorchEngine
) -> None:
    expect.set_options(timeout=60_000)  # two cores that also run the browser
    tab = visit(page)

    def send(text: str) -> Any:
        tab.locator("#pb-text").fill(text)
        tab.locator("#pb-text").press("Enter")
        return tab.locator(".bot-row").last

    answer = send("Is this review positive or negative? I loved every minute of it.")
    expect(answer.locator(".pb-route summary")).to_contain_text("Sentiment")
    expect(answer.locator(".pb-actions")).to_be_visible()
    expect(answer).to_contain_text("positive")

    tab.get_by_role("button", name="Summary", exact=True).last.click()
    answer = tab.locator(".bot-row").last
    expect(answer.locator(".pb-route summary")).to_contain_text("Summary")
    expect(answer.locator(".pb-actions")).to_be_visible()
    assert page.feedback.corrections()[-1].tasks == ["summarization"]

    answer = send("把“图书馆星期一不开门”翻译成英文")
    expect(answer.locator(".pb-route summary")).to_contain_text("to English")
    expect(answer.locator(".pb-actions")).to_be_visible()

    days = [f"On day {n} the bridge was closed from {n} o'clock until noon." for n in range(1, 40)]
    send("Translate into French: " + " ".join(days))  # a sentence at a time: it lasts
    expect(tab.locator("html")).to_have_attribute("data-busy", "true")
    tab.get_by_role("button", name="Stop").click()
    expect(tab.locator("html")).not_to_have_attribute("data-busy", "true")
    stopped_at = starter_engine.passes
    assert settled(lambda: starter_engine.passes)
    assert starter_engine.passes - stopped_at <= 2
