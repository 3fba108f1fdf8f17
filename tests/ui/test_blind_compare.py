"""Two answers compared blind in a real browser: by keys, by touch, and with nothing given away."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE
from judged import judged
from playwright.sync_api import Page, expect
from test_accessibility import violations

from agent.agent import Agent
from workshop.blind_comparisons import BlindComparisons
from workshop.jobs import JobFolder

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
LONG = "A sentence of a long text is here. " * 60
TEXTS = [f"Row number {n} is here" for n in range(14)] + [LONG]


@pytest.fixture
def found() -> JobFolder:
    return judged(TEXTS)


@pytest.fixture
def site(found: JobFolder, serve: Callable[..., Any], fake_agent: Callable[..., Agent]) -> Any:
    """A page whose workshop is the test's own."""
    return serve(fake_agent())


def judgings(page: Page, site: Any, tab: str = "Judge") -> Page:
    page.goto(f"{site.address}/workshop/")
    page.wait_for_selector("html[data-ready]")
    page.get_by_role("tab", name=tab).click()
    expect(page.locator(".pb-verdict")).to_be_visible()
    return page


def text(page: Page) -> str:
    return str(page.locator(".pb-review-text").text_content())


def press(page: Page, key: str) -> None:
    """A key for the row that is shown, and the next one."""
    before = page.locator(".pb-review").get_attribute("data-row")
    page.keyboard.press(key)
    expect(page.locator(f'.pb-review[data-row="{before}"]')).to_have_count(0)


def test_rows_are_compared_by_keys_and_the_verdict_says_what_was_found(
    visit: Visit, site: Any, found: JobFolder
) -> None:
    page = judgings(visit(site), site)
    expect(page.locator(".pb-job")).not_to_contain_text("ROW NUMBER")
    page.get_by_role("button", name="Compare blind: 15 rows").click()
    expect(page.locator(".pb-review [role=status]")).to_contain_text("0 of 15 rows compared")
    first = text(page)
    press(page, "0")
    page.keyboard.press("z")
    expect(page.locator(".pb-review-text")).to_have_text(first)
    expect(page.locator(".pb-note").first).to_contain_text("Taken back.")
    for n in range(9):
        new = page.locator(".pb-answers > div").first.locator("blockquote").text_content() or ""
        press(page, "1" if new.isupper() else "2")
        expect(page.locator(".pb-review [role=status]")).to_contain_text(f"{n + 1} of 15")
    page.get_by_role("button", name="Back to the verdict").click()
    verdict = page.locator(".pb-job")
    expect(verdict).to_contain_text("9 rows compared blind. What people found is shown from 10 on")
    page.get_by_role("button", name="Compare blind: 6 rows").click()
    press(page, "t")
    page.get_by_role("button", name="Back to the verdict").click()
    expect(verdict).to_contain_text("People, blind: Better", use_inner_text=True)
    expect(verdict).to_contain_text("chosen on 9 of 9 rows, 100% (", use_inner_text=True)
    expect(verdict).to_contain_text("ties: 1, by owner", use_inner_text=True)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.get_by_role("tab", name="Judge").click()
    expect(verdict).to_contain_text("People, blind: Better", use_inner_text=True)
    comparisons = BlindComparisons(found)
    assert sorted(comparisons.winners.values()) == ["new"] * 9 + ["tie"]


def test_the_page_does_not_tell_whose_answer_is_whose(
    visit: Visit, site: Any, found: JobFolder
) -> None:
    """But for the words of the answers the page is the same whichever of them stands first."""
    page = judgings(visit(site), site)
    page.get_by_role("button", name="Compare blind").click()
    pages: dict[bool, set[str]] = {True: set(), False: set()}
    for _ in TEXTS:
        expect(page.locator(".pb-answers")).to_be_visible()
        seen = page.content()
        assert "mine" not in seen
        answers = page.locator(".pb-answers blockquote").all_text_contents()
        for place, answer in enumerate(answers):
            seen = seen.replace(answer, f"answer {place}")
        seen = seen.replace(text(page), "text")
        line = page.locator(".pb-review").get_attribute("data-row")
        for varies in (rf'data-(id|row)="{line}"', rf"row&quot;: &quot;{line}&quot;"):
            seen = re.sub(varies, "", seen)
        seen = re.sub(r'data-drawing="\d+"|\d+ of 15 rows|已对比 \d+ / 15 条', "", seen)
        pages[answers[0].isupper()].add(seen)
        page.keyboard.press("0")
        expect(page.locator(f'.pb-review[data-row="{line}"]')).to_have_count(0)
    assert pages[True] == pages[False]
    assert len(pages[True]) == 1
    expect(page.locator(".pb-note").last).to_contain_text("All rows are compared.")


def test_by_touch_on_a_chinese_phone(visit: Visit, site: Any, found: JobFolder) -> None:
    page = judgings(visit(site, **PHONE, locale="zh-CN"), site, "评测")
    page.get_by_role("button", name="盲评：15 条").click()
    for n in range(15):
        old = page.locator(".pb-answers > div").first.locator("blockquote").text_content() or ""
        name = "第二个更好" if old.isupper() else "第一个更好"
        page.get_by_role("button", name=name).click()
        if n < 14:
            expect(page.locator(".pb-review [role=status]")).to_contain_text(
                f"已对比 {n + 1} / 15 条", use_inner_text=True
            )
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator(".pb-review")).to_contain_text("全部内容都已对比", use_inner_text=True)
    page.get_by_role("button", name="返回评测结果").click()
    verdict = page.locator(".pb-job")
    expect(verdict).to_contain_text("人工盲评： 没有更好", use_inner_text=True)
    expect(verdict).to_contain_text("15 条里有 0 条选了新的回答", use_inner_text=True)
    expect(verdict).not_to_contain_text("People", use_inner_text=True)
    expect(verdict.get_by_role("note")).to_contain_text("盲评的人更喜欢原来的回答")
    page.get_by_role("button", name="投入使用").click()
    expect(page.get_by_placeholder("人们更喜欢原来的回答").first).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_names_are_shown_when_asked_for(visit: Visit, site: Any) -> None:
    page = judgings(visit(site), site)
    assert "ROW NUMBER 3" not in page.content()
    page.get_by_role("button", name="Show the 15 rows by name").click()
    expect(page.locator(".pb-job table")).to_contain_text("ROW NUMBER 3")


def test_axe_finds_nothing(visit: Visit, site: Any, found: JobFolder) -> None:
    comparisons = BlindComparisons(found)
    for line in [*comparisons.rows][:12]:
        comparisons.choose(line, "tie", "ada")
    page = judgings(visit(site), site)
    assert violations(page) == []
    page.get_by_role("button", name="Show the 15 rows by name").click()
    expect(page.locator(".pb-job table")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Compare blind").click()
    expect(page.locator(".pb-answers")).to_be_visible()
    assert violations(page) == []


def test_a_row_that_went_meanwhile_is_said(visit: Visit, site: Any, found: JobFolder) -> None:
    page = judgings(visit(site), site)
    page.get_by_role("button", name="Compare blind").click()
    expect(page.locator(".pb-answers")).to_be_visible()
    for run in found.folder.glob("held-out-*"):
        (run / "rows.jsonl").write_text("")
    page.keyboard.press("1")
    expect(page.get_by_role("alert")).to_contain_text("or it was withdrawn")
