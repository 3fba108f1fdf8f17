"""How long the page is at work at a stretch, with many conversations and a long one.

    python -m benchmarks.page

A real Chromium on a page whose engine repeats the request: so only the page's own work is in it.
The long tasks of the browser, and the time from an event to the end of its handlers, in ms: the
longest of each kind of interaction, over some rounds. Beside them the same with one conversation.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Page, expect, sync_playwright

from core.paths import REPOSITORY

sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "ui")]

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
WATCH = """() => {
    window.slowest = 0;
    new PerformanceObserver((seen) => {
        for (const { duration } of seen.getEntries()) slowest = Math.max(slowest, duration);
    }).observe({ type: "longtask" });
    new PerformanceObserver((seen) => {
        for (const one of seen.getEntries())
            slowest = Math.max(slowest, one.processingEnd - one.startTime);
    }).observe({ type: "event", durationThreshold: 16 });
}"""


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    conversations: Annotated[int, typer.Option(min=1)] = 200,
    turns: Annotated[int, typer.Option(min=2, help="of the long one")] = 1000,
) -> None:
    """Print the longest stretch of work of each interaction, in ms."""
    from served import served  # the tests' own server of a page

    from agent.agent import Agent
    from agent.build import build_planner
    from agent.feedback.store import Feedback
    from core.settings import load_settings
    from engine.fake import FakeEngine
    from tasks.spec import load_tasks

    agent = Agent(FakeEngine(), load_tasks(), build_planner(load_settings(profile="starter")))
    with (
        tempfile.TemporaryDirectory() as folder,
        served(agent, Feedback(Path(folder) / "feedback.sqlite")) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        found = {
            name: [_measured(browser, site.address, many, long) for _ in range(rounds)]
            for name, many, long in (("one", 1, 2), ("many", conversations, turns))
        }
        browser.close()
    figures = {
        name: {act: round(max(one[act] for one in runs)) for act in runs[0]}
        for name, runs in found.items()
    }
    print(json.dumps({"conversations": conversations, "turns": turns, "ms": figures}, indent=1))


def _measured(browser: Any, address: str, many: int, turns: int) -> dict[str, float]:
    """One visit: act -> ms of the longest stretch of work."""
    from test_chats import DAY, export, record

    page: Page = browser.new_context().new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    now = page.evaluate("Date.now()")
    records = [record(f"talk{n}", at=now - n * DAY // 4) for n in range(many)]
    page.set_input_files("#pb-import", export([record("long", turns, now), *records]))
    expect(page.locator(".pb-chat")).to_have_count(many + 1, timeout=120_000)
    expect(page.locator(".pb-said").last).to_have_text(f"long asks {turns - 1}", timeout=120_000)
    page.evaluate(WATCH)
    found: dict[str, float] = {}

    def time(name: str, act: Callable[[], None]) -> None:
        page.evaluate("slowest = 0")
        act()
        page.wait_for_timeout(300)
        found[name] = page.evaluate("slowest")

    def send() -> None:
        page.keyboard.press("Enter")
        expect(page.locator(".bot-row").last).to_contain_text("What now?", timeout=60_000)

    def switch() -> None:
        page.locator(".pb-chat", has_text="talk0 ").click()
        expect(page.locator(".pb-said").first).to_have_text("talk0 asks 0")

    time("type", lambda: page.locator("#pb-text").press_sequentially("What now?"))
    time("send", send)
    time("switch", switch)
    time("search", lambda: page.locator("#pb-search").press_sequentially("talk0"))
    page.context.close()
    return found


if __name__ == "__main__":
    typer.run(main)
