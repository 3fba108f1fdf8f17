"""The workshop in a real browser: rows reviewed by keyboard, and what is refused, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browse import PHONE, send
from playwright.sync_api import Page, expect
from test_accessibility import violations

from agent.agent import Agent
from workshop.rows import ReviewRow, ReviewStore

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
PAIRS = (("A warm film", "positive"), ("A dull film", "negative"))
CHANCES = {"positive": 0.6, "neutral": 0.3, "negative": 0.1}


def review_row(id: str, text: str, **fields: Any) -> ReviewRow:
    values = {
        "task": "sentiment", "why": "disliked", "answer": "positive", "labels": CHANCES,
        "suggested": "neutral", "consent": True, "adapter": "sentiment",
    }  # fmt: skip
    return ReviewRow(id=id, text=text, **values | fields)


@pytest.fixture
def store() -> ReviewStore:
    return ReviewStore()


@pytest.fixture
def site(store: ReviewStore, serve: Callable[..., Any], fake_agent: Callable[..., Agent]) -> Any:
    """A page whose workshop is the test's own."""
    return serve(fake_agent())


def workshop(page: Page, site: Any) -> Page:
    page.goto(f"{site.address}/workshop/")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-workshop")).to_be_visible()
    return page


def test_rows_are_reviewed_by_keyboard(visit: Visit, site: Any, store: ReviewStore) -> None:
    texts = ["Cold <b>soup</b>.", "It was fine.", "Warm and kind.", "Too loud."]
    store.add(review_row(f"r{n}", text) for n, text in enumerate(texts))
    page = visit(site)
    page.get_by_role("link", name="Workshop").click()
    page.wait_for_selector("html[data-ready]")
    shown = page.locator(".pb-review-text")
    expect(shown).to_have_text("Cold <b>soup</b>.")
    expect(page.get_by_role("radio", name="neutral")).to_be_checked()
    page.keyboard.press("3")
    expect(page.get_by_role("radio", name="negative")).to_be_checked()
    page.evaluate(
        """() => new MutationObserver(() => {
            const text = document.querySelector(".pb-review-text")?.textContent;
            if (text === "It was fine.")
                window.first ??= document.querySelector("[name=right]:checked")?.value;
        }).observe(document.body, { subtree: true, childList: true, characterData: true })"""
    )
    page.keyboard.press("Enter")
    expect(shown).to_have_text("It was fine.")
    assert page.evaluate("window.first") == "neutral", "what was chosen for the row before is gone"
    page.keyboard.press("Enter")
    expect(shown).to_have_text("Warm and kind.")
    page.keyboard.press("x")
    expect(shown).to_have_text("Too loud.")
    expect(page.get_by_role("status").first).to_contain_text("1 to review · 2 done · 1 declined")
    page.keyboard.press("z")
    expect(shown).to_have_text("Warm and kind.")
    done = [(row.text, row.right, row.by) for row in store.done()[::-1]]
    assert done == [
        ("Cold <b>soup</b>.", "negative", "owner"),
        ("It was fine.", "neutral", "owner"),
    ]


def test_a_key_that_is_held_decides_one_row(visit: Visit, site: Any, store: ReviewStore) -> None:
    store.add(review_row(f"r{n}", f"Row {n}") for n in range(3))
    page = workshop(visit(site), site)
    page.keyboard.down("Enter")
    expect(page.locator(".pb-review-text")).to_have_text("Row 1")
    page.keyboard.down("Enter")  # the key has not been let go: it repeats
    page.keyboard.up("Enter")
    page.keyboard.press("x")
    expect(page.locator(".pb-review-text")).to_have_text("Row 2")
    assert (len(store.done()), store.get("r1").status) == (1, "declined")


def test_what_is_marked_is_said_and_a_rater_is_left_out(
    visit: Visit, site: Any, store: ReviewStore
) -> None:
    store.add([
        review_row("first", "Cold soup.", rater="fair"),
        review_row("odd1", "Cold, cold soup.", rater="odd", suggested="positive"),
        review_row("odd2", "Stale bread.", rater="odd", suggested="positive"),
    ])  # fmt: skip
    among = ["first", "odd1", "odd2"]
    store.mark("duplicate", {"odd1": "first"}, among)
    store.mark("suspect", {"odd1": "negative"}, among)
    store.mark("rater", {"odd1": "2 of 2", "odd2": "2 of 2"}, among)
    store.decide("odd2", "positive", by="owner")
    page = workshop(visit(site), site)
    page.get_by_text("Several at once").click()
    page.get_by_role("button", name="Cold, cold soup.").click()
    notes = page.locator(".pb-review [role=note]")
    expect(notes).to_have_text([
        "It repeats another row: Cold soup.",
        "Of who rated it, 2 of 2 rows disagree with everybody else's",
        "This label may be wrong. By the other rows it is: negative",
    ], use_inner_text=True)  # fmt: skip
    raters = page.locator("section", has_text="Raters who disagree")
    raters.get_by_role("button", name="Leave out").click()
    expect(raters).to_contain_text("odd: left out")
    expect(page.get_by_role("status").first).to_contain_text("1 to review · 0 done")
    assert [row.id for row in store.pending()] == ["first"]
    raters.get_by_role("button", name="Review their texts again").click()
    expect(raters).to_have_count(0)
    expect(page.get_by_text("2 rows of odd wait to be reviewed again")).to_be_visible()
    assert {row.id: row.suggested for row in store.pending()} == {
        "first": "neutral", "odd1": "positive", "odd2": "positive",
    }  # fmt: skip
    assert not violations(page)


def test_a_text_is_edited_and_several_rows_are_decided_at_once(
    visit: Visit, site: Any, store: ReviewStore
) -> None:
    better = {"task": "translation", "labels": {}, "slots": {"target": "fr", "source": "en"}}
    store.add([review_row("t", "Good night", answer="Bon", suggested="Bonne nui", **better)])
    store.add(review_row(f"r{n}", f"Row {n} of many") for n in range(5))
    page = workshop(visit(site), site)
    page.keyboard.press("e")
    box = page.get_by_label("The right answer")
    expect(box).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type("t x")  # letters are letters here
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".pb-review-text")).to_have_text("Row 0 of many")
    assert store.get("t").right == "Bonne nuit"
    page.get_by_text("Several at once").click()
    page.get_by_label("Words of a row").fill("row 3")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".pb-several tbody tr")).to_have_count(1)
    page.locator(".pb-several [name=ids]").check()
    page.get_by_role("button", name="Accept as suggested").click()
    expect(page.get_by_role("status").first).to_contain_text("2 done")
    assert store.get("r3").right == "neutral"


def test_without_consent_a_row_can_only_be_declined(
    visit: Visit, site: Any, store: ReviewStore
) -> None:
    store.add([review_row("r", "Mine alone", consent=False)])
    page = workshop(visit(site), site)
    expect(page.get_by_role("button", name="Accept", exact=False).first).to_be_disabled()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("has not agreed to its use")
    page.keyboard.press("x")
    expect(page.locator(".pb-note")).to_contain_text("Nothing waits to be reviewed")
    assert store.get("r").status == "declined"


def choose(page: Page, file: Path) -> None:
    """Press the button for a file, and choose one."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a file of texts").click()
    chooser.value.set_files(file)


def test_a_file_of_texts_is_taken_into_the_queue(
    visit: Visit, site: Any, store: ReviewStore, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.csv"
    lines = [f"{text} {n},{label}" for n in range(20) for text, label in PAIRS]
    file.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    page = workshop(visit(site), site)
    choose(page, file)
    expect(page.get_by_role("alert")).to_contain_text("Choose the skill first")
    page.get_by_role("button", name="Sentiment").click()
    expect(page.get_by_role("button", name="Sentiment")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("checkbox", name="Whoever the texts are from").check()
    choose(page, file)
    expect(page.locator(".pb-note")).to_contain_text("40 new rows")
    found = store.pending("sentiment")
    assert {row.suggested for row in found} == {"positive", "negative"}
    assert 0 < sum(row.held_out for row in found) < 20
    assert all(row.consent for row in found)


def test_a_route_leads_to_how_its_adapter_was_judged(visit: Visit, site: Any) -> None:
    page = visit(site)
    answer = send(page, "Translate this: good morning")
    answer.locator(".pb-route summary").click()
    answer.get_by_role("link", name="how it was judged").click()
    page.wait_for_selector("html[data-ready]")
    expect(page.get_by_role("tab", name="Judge")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".pb-workshop")).to_contain_text("translation-fake: not trained here")


def test_what_is_pressed_while_the_page_looks_is_done_after_it(visit: Visit, site: Any) -> None:
    page = workshop(visit(site), site)
    page.route("**/queue/join*", lambda route: (page.wait_for_timeout(500), route.continue_()))
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("tab", name="Watch").click()
    expect(page.get_by_role("tab", name="Watch")).to_have_attribute("aria-selected", "true")


def test_a_skill_pressed_before_a_tab_is_drawn_is_for_that_tab(
    visit: Visit, site: Any, store: ReviewStore
) -> None:
    store.add([review_row("r", "One row")])
    page = workshop(visit(site), site)
    page.evaluate(
        """() => {
            document.querySelector("[data-set-tab=train]").click();
            document.querySelector("[data-set-task=translation]").click();
        }"""
    )
    expect(page.get_by_label("Name of the new adapter")).to_have_value("translation-own-1")


def test_axe_finds_nothing(visit: Visit, site: Any, store: ReviewStore) -> None:
    store.add(review_row(f"r{n}", f"Row {n}") for n in range(3))
    page = workshop(visit(site), site)
    for tab in ("Review", "Train", "Judge", "Watch"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(f'.pb-workshop[data-view*=\'"tab": "{tab.lower()}"\']')).to_be_visible()
        assert violations(page) == [], tab


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({}, ["line 3, column 'text': empty.", "line 5: 3 columns where", "1 texts: it stands"]),
        (
            {"locale": "zh-CN"},
            ["第 3 行，'text' 列：是空的。", "第 5 行：有 3 列", "1 条：文件里前面已有"],
        ),
    ],
)
def test_what_a_file_has_that_is_no_row_is_said(
    visit: Visit,
    site: Any,
    store: ReviewStore,
    tmp_path: Path,
    look: dict[str, Any],
    said: list[str],
) -> None:
    page = workshop(visit(site, **look), site)
    rows = "Warm soup.,positive\n,negative\nWarm soup.,positive\nCold soup.,negative,x\n"
    file = tmp_path / "soup.csv"
    file.write_text(f"text,label\n{rows}", encoding="utf-8")
    page.locator("[data-set-task=sentiment]").first.click()
    expect(page.locator("[data-set-task=sentiment][aria-pressed=true]")).to_be_visible()
    choose(page, file)
    shown = page.locator(".pb-left-out")
    for one in said:
        expect(shown).to_contain_text(one, use_inner_text=True)
    other = "columns" if look else "列"
    expect(shown).not_to_contain_text(other, use_inner_text=True)
    assert [row.text for row in store.pending()] == ["Warm soup."]


@pytest.mark.parametrize("look", [{}, PHONE | {"locale": "zh-CN"}])
def test_what_cannot_be_done_is_said(
    visit: Visit, site: Any, store: ReviewStore, look: dict[str, Any]
) -> None:
    store.add([review_row("r", "One row", why="imported"), review_row("s", "Another")])
    store.decide("r", "negative", "me")
    page = workshop(visit(site, **look), site)
    box = page.locator(".pb-several [type=search]")
    expect(box).to_have_attribute("placeholder", "内容中的文字" if look else "Words of a row")
    tabs = ("训练", "评测") if look else ("Train", "Judge")
    page.get_by_role("tab", name=tabs[0]).click()
    page.locator("form[data-do=check] [type=submit]").click()
    said = "至少需要 8 条" if look else "8 are the least"
    expect(page.get_by_role("alert")).to_contain_text(said, use_inner_text=True)
    other = "are the least" if look else "至少需要"
    expect(page.get_by_role("alert")).not_to_contain_text(other, use_inner_text=True)
    page.locator("form[data-do=check] [name=epochs]").evaluate(
        "one => { one.max = 99; one.value = 60 }"
    )
    page.locator("form[data-do=check] [type=submit]").click()
    said = "“60”不合适" if look else "epochs is 60"
    expect(page.get_by_role("alert")).to_contain_text(said, use_inner_text=True)
    page.get_by_role("tab", name=tabs[1]).click()
    expect(page.locator(".pb-note")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
