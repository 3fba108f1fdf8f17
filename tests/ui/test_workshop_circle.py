"""The whole circle on the starter: a wrong answer, reviewed, trained, judged, promoted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browse import send
from playwright.sync_api import Page, expect

from agent.agent import Agent
from agent.build import build_planner
from core.settings import Settings
from engine.load import load_engine
from tasks.spec import load_tasks
from workshop.rows import ReviewRow, ReviewStore

pytestmark = [pytest.mark.browser, pytest.mark.starter, pytest.mark.slow]
# Names that mean nothing: nobody knows the right answer but by what was corrected.
TASK = """
name: shelf
version: 1
kind: choose
title: {en: Shelf, zh: 货架}
description: {en: Says on which shelf a thing goes., zh: 判断物品放在哪个货架。}
commands: [shelf]
prompt: {system: "Which shelf does it go on? {labels}"}
labels:
  norvel: {en: norvel, zh: norvel}
  tamsik: {en: tamsik, zh: tamsik}
columns: {text: text, label: answer}
metrics: [accuracy, log_loss]
"""
REQUESTS = """
en: ["Which shelf does this go on?", "Where does this item belong?", "On which shelf do I put it?"]
zh: ["这个放哪个货架？", "这件东西放哪儿？", "它该上哪个架子？"]
"""
FOOD = ["apple", "bread", "cheese", "rice", "soup", "butter", "honey", "noodle", "tomato", "grape"]
TOOL = ["hammer", "saw", "drill", "wrench", "screw", "nail", "pliers", "ladder", "chisel", "axe"]
HOW = ["a fresh {}", "one {} please", "the {} from yesterday", "two boxes of {}", "my old {}"]


def rows(first: int, last: int) -> list[ReviewRow]:
    """Things with their shelf. Of every third pair of words all rows are kept to judge on: who
    counts words knows nothing of these.
    """
    made = [
        (how.format(word), shelf, place % 3 == 0)
        for how in HOW
        for place, pair in enumerate(zip(FOOD, TOOL, strict=True))
        for word, shelf in zip(pair, ("tamsik", "norvel"), strict=True)
    ]
    return [
        ReviewRow(
            id=f"n{number}", task="shelf", text=text, suggested=shelf, consent=True,
            why="random" if kept else "imported", held_out=kept,
        )
        for number, (text, shelf, kept) in list(enumerate(made))[first:last]
    ]  # fmt: skip


@pytest.fixture
def agent(home: Path, starter_settings: Settings) -> Iterator[Agent]:
    """The starter with a skill that has no adapter; its engine looks for one in this home."""
    folder = home / "tasks" / "shelf"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "requests.yaml").write_text(REQUESTS, encoding="utf-8")
    with closing(load_engine(starter_settings)) as engine:
        yield Agent(engine, load_tasks(), build_planner(starter_settings))


def ask(page: Page, site: Any, text: str) -> str:
    """The shelf that the chat names."""
    page.goto(site.address)
    page.wait_for_selector("html[data-ready]")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".pb-said")).to_have_count(0)
    answer = send(page, f"/shelf {text}")
    return str(answer.locator(".pb-best .pb-label").text_content())


def workshop(page: Page, site: Any, tab: str) -> None:
    page.goto(f"{site.address}/workshop/")
    page.wait_for_selector("html[data-ready]")
    if tab != "Review":  # with which it opens
        page.get_by_role("tab", name=tab).click()
    expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")


def train(page: Page, site: Any, epochs: int) -> None:
    workshop(page, site, "Train")
    page.get_by_role("button", name="Shelf").click()
    page.get_by_label("Times each row is seen").fill(str(epochs))
    page.get_by_label("Learning rate").fill("0.001")
    page.get_by_role("button", name="Check").click()
    job = page.locator(".pb-job")
    expect(job.get_by_role("status")).to_contain_text("ready to start")
    expect(job.locator(".pb-estimate")).to_contain_text("of memory")
    job.get_by_role("button", name="Start training").click()
    expect(job.get_by_role("status")).to_contain_text("finished")
    expect(page.locator("#pb-losses")).to_be_visible()
    page.get_by_role("button", name="Judge it").click()
    page.get_by_role("button", name="Judge", exact=True).click()
    expect(page.locator(".pb-verdict")).to_be_visible()


def test_a_wrong_answer_becomes_a_better_model(
    visit: Callable[..., Page], serve: Callable[..., Any], agent: Agent
) -> None:
    expect.set_options(timeout=400_000)  # two cores that also train
    store = ReviewStore()
    site = serve(agent)
    page = visit(site)
    before = [ask(page, site, text) for text in ("my new bread", "my new saw")]
    store.add(rows(0, 12))
    for row in store.pending("shelf"):
        store.decide(row.id, row.suggested, "owner")
    train(page, site, epochs=1)
    verdict = page.locator(".pb-verdict")
    expect(verdict).to_contain_text("Not enough evidence")
    expect(verdict).to_contain_text("more rows to judge on")
    page.get_by_role("button", name="Put it to use").click()
    expect(page.get_by_placeholder("Why, though")).to_be_focused()  # it wants a reason

    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".pb-note")).to_contain_text("10% of the conversations for shelf")
    expect(page.locator(".pb-trial")).to_contain_text("liked 0 times of 0 rated, generation 0 of 0")
    page.get_by_role("button", name="End the trial").click()
    expect(page.locator(".pb-note")).to_contain_text("shelf-own-1 is no longer in use")

    store.add(rows(12, 120))
    workshop(page, site, "Review")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("13 done")
    for row in store.pending("shelf"):
        store.decide(row.id, row.suggested, "owner")
    train(page, site, epochs=10)
    expect(verdict).to_contain_text("Better")
    page.get_by_role("button", name="Put it to use").click()
    expect(page.locator(".pb-note")).to_contain_text("answers for shelf from now on")
    expect(page.locator(".pb-job")).to_contain_text("It answers for shelf now.")
    expect(page.get_by_role("button", name="Put it to use")).to_have_count(0)
    after = [ask(page, site, text) for text in ("my new bread", "my new saw")]
    assert [text[:6] for text in after] == ["tamsik", "norvel"]
    workshop(page, site, "Judge")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator(".pb-note")).to_contain_text("no longer in use")
    assert [ask(page, site, text) for text in ("my new bread", "my new saw")] == before
