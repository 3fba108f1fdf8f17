"""The page for tables in a real browser, on the fake engine."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from browse import PHONE
from playwright.sync_api import Browser, Page, expect

from agent.agent import Agent
from engine.interface import ROWS_TOGETHER

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Page]
ROWS = 120
KEYS = {
    "ann": {"key": "ann-0123456789abcdef"},
    "bob": {"key": "bob-0123456789abcdef"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "review", "gold"])
        for i in range(ROWS):
            said = ["positive", "negative"][i % 2]
            rows.writerow([i, "" if i == 70 else f"Room {i}: a {said} surprise", said])
    return path


def open_tables(page: Page, site: Any) -> None:
    page.goto(site.address + "/tables")  # which leads to /tables/
    page.wait_for_selector("html[data-ready]")


def choose(page: Page, file: Path) -> None:
    """Choose the file and sentiment, and see the first rows."""
    page.locator("#pb-table-file input[type=file]").set_input_files(file)
    expect(page.locator("#pb-tables")).to_contain_text("120 rows")
    page.locator("#pb-task input").click()
    page.get_by_role("option", name="Sentiment").click()
    page.locator("#pb-preview").click()
    expect(page.locator("#pb-first-rows")).to_contain_text("positive")


def test_a_table_runs_rests_and_goes_on_after_a_reload(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent], file: Path
) -> None:
    site = serve(fake_agent(delay=1.0))
    page = visit(site)
    page.set_default_timeout(90_000)  # charts hold a slow machine's browser for a while
    page.get_by_role("link", name="Tables").click()
    page.wait_for_selector("#pb-table-file")
    page.wait_for_selector("html[data-ready]")
    choose(page, file)
    page.locator("#pb-run").click()
    page.locator("#pb-pause").click()
    expect(page.locator("#pb-progress")).to_contain_text("Paused", timeout=90_000)
    calls = len(site.agent.engine.calls)
    assert calls < ROWS
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#pb-progress")).to_contain_text("Paused", timeout=90_000)
    page.locator("#pb-resume").click()
    expect(page.locator("[data-state=finished]")).to_be_visible(timeout=90_000)
    expect(page.locator("#pb-failures")).to_contain_text("The cell of column 'review' is empty")
    # What was finished before is not computed again; what ran when it was paused is.
    assert len(site.agent.engine.calls) < ROWS + ROWS_TOGETHER
    page.locator("#pb-truth input").click()
    page.get_by_role("option", name="gold").click()
    expect(page.locator("#pb-agreement")).to_contain_text("100.0% of 119 rows agree")
    with page.expect_download() as download:
        page.locator("#pb-downloads a", has_text="CSV").click()
    rows = list(csv.DictReader(download.value.path().open(encoding="utf-8-sig", newline="")))
    assert [row["sentiment"] for row in rows[:4]] == ["positive", "negative"] * 2
    assert "is empty" in rows[70]["sentiment_note"]


def test_a_correction_changes_the_result_and_is_kept_where_the_person_agrees(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent], file: Path
) -> None:
    site = serve(fake_agent())
    page = visit(site)
    open_tables(page, site)
    choose(page, file)
    page.locator("#pb-run").click()
    expect(page.locator("[data-state=finished]")).to_be_visible(timeout=90_000)
    page.locator("#pb-right").get_by_label("neutral").click()
    page.locator("#pb-train input").check()
    page.locator("#pb-keep").click()
    expect(page.locator("#pb-review-row")).to_contain_text("1 of 119 reviewed, 1 corrected")
    [row] = site.feedback.labelled()
    assert (row.task, row.label, row.instead_of) == ("sentiment", "neutral", "positive")
    assert row.text.startswith("Room ")
    page.locator("#pb-remove").click()
    expect(page.locator("#pb-result")).to_have_count(0)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator("#pb-result")).to_have_count(0)


def test_in_chinese_on_a_phone_in_the_dark(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent], file: Path
) -> None:
    site = serve(fake_agent())
    page = visit(site, locale="zh-CN", color_scheme="dark", **PHONE)
    open_tables(page, site)
    page.locator("#pb-table-file input[type=file]").set_input_files(file)
    expect(page.get_by_role("button", name="先试前几行")).to_be_visible()
    expect(page.locator("#pb-column")).to_contain_text("文字所在的列")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = "getComputedStyle(document.querySelector('.gradio-container')).backgroundColor"
    assert page.evaluate(background) == "rgb(22, 24, 27)"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="Try the first rows")).to_be_visible()


def test_a_bad_file_is_one_sentence(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    site = serve(fake_agent())
    page = visit(site)
    open_tables(page, site)
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"PK\x03\x04 no workbook")
    page.locator("#pb-table-file input[type=file]").set_input_files(bad)
    expect(page.locator("#pb-problem")).to_contain_text("cannot be read as an .xlsx workbook")


def test_with_keys_a_table_is_its_owners_alone(
    chromium: Browser, serve: Callable[..., Any], fake_agent: Callable[..., Agent], file: Path
) -> None:
    site = serve(fake_agent(), api_keys=KEYS)
    assert httpx2.get(site.address + "/tables/", follow_redirects=False).status_code == 307
    page = chromium.new_page()
    log_in(page, site, "ann")
    open_tables(page, site)
    choose(page, file)
    page.locator("#pb-run").click()
    expect(page.locator("[data-state=finished]")).to_be_visible(timeout=90_000)
    address = site.address + str(page.locator("#pb-downloads a").first.get_attribute("href"))
    assert page.request.get(address).ok
    other = chromium.new_context().new_page()
    assert other.request.get(address).status == 404
    log_in(other, site, "bob")
    assert other.request.get(address).status == 404
    page.close()
    other.context.close()


def log_in(page: Page, site: Any, name: str) -> None:
    page.goto(site.address)
    page.get_by_label("username").fill(name)
    page.get_by_label("password").fill(KEYS[name]["key"])
    page.get_by_role("button", name="Login").click()
    page.wait_for_selector("html[data-ready]")
