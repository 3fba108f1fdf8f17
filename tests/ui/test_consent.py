"""Who rates is asked once whether it may be used for training, and can take that back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits, send
from playwright.sync_api import Page, expect

from agent.feedback.store import Rating
from tasks.spec import load_tasks
from ui.consent import draw_consent, rater_of
from ui.conversation import TurnView
from workshop import collect
from workshop.rows import ReviewStore

Visit = Callable[..., Page]
ID = "0123456789abcdef" * 2


def test_only_what_is_rated_or_corrected_asks() -> None:
    turn = TurnView(text="Hi")
    assert draw_consent(turn) == ""
    for change in ({"rating": 1}, {"rating": -1}, {"corrects": "t"}):
        assert 'data-act="agree"' in draw_consent(turn.model_copy(update=change))


@pytest.mark.parametrize(
    ("said", "login", "expected"),
    [
        ({"rater": ID, "consent": True}, None, (ID, True)),
        ({"rater": ID}, None, (ID, False)),
        ({"rater": ID, "consent": "yes"}, None, (ID, False)),
        ({"rater": "'; DROP TABLE ratings", "consent": True}, None, ("", False)),
        ({"consent": True}, None, ("", False)),
        ({"rater": ID, "consent": True}, "ann", ("login ann", True)),
        ({"rater": "login ann", "consent": True}, None, ("", False)),
    ],
)
def test_a_rater_is_a_browser_s_random_id_or_who_has_logged_in(
    said: dict[str, Any], login: str | None, expected: tuple[str, bool]
) -> None:
    rater = rater_of(said, login)
    assert (rater.name, rater.agrees) == expected


@pytest.mark.browser
@pytest.mark.parametrize("look", [{}, PHONE | {"locale": "zh-CN"}])
def test_consent_is_asked_once_kept_with_the_rating_and_taken_back(
    visit: Visit, quick: Any, look: dict[str, Any]
) -> None:
    page, others = visit(quick, **look), quick.feedback.ratings()

    def kept() -> list[Rating]:
        turns = {row.turn for row in others}
        return [row for row in quick.feedback.ratings() if row.turn not in turns]

    send(page, "Translate this: good evening")
    asked = page.locator(".pb-consent-unsaid")
    expect(asked).to_have_count(0)
    page.locator("[data-act=like]").click()
    expect(asked).to_contain_text("训练" if look else "train models", use_inner_text=True)
    assert_fits(page)
    assert [(row.consent, row.steps) for row in kept()] == [(False, ())]
    asked.locator("[data-act=agree]").press("Enter")
    expect(page.locator(".pb-consent-yes button")).to_be_focused()
    expect(asked).to_be_hidden()
    [row] = kept()
    [step] = row.steps
    assert (row.consent, row.rating, len(row.rater)) == (True, 1, 32)
    assert (step.task, step.adapter) == ("translation", "translation-fake")
    assert step.content == "Translate this: good evening"
    assert step.slots == {"target": "fr", "source": "en"}

    send(page, "Translate this: good night")  # the second is kept with consent at once
    page.reload()
    page.locator("[data-act=dislike]").last.click()
    expect(page.locator(".pb-better form")).to_be_visible()
    page.locator(".pb-better [name=better]").fill("Bonne nuit")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".pb-better form")).to_be_hidden()
    rater = row.rater
    row = kept()[-1]
    assert (row.consent, row.rater, row.better) == (True, rater, "Bonne nuit")
    found = [r for r in collect.of_feedback(quick.feedback, load_tasks()).rows if r.rater == rater]
    assert [(r.why, r.consent) for r in found] == [("liked", True), ("corrected", True)]
    assert found[1].suggested == "Bonne nuit"
    store = ReviewStore()
    store.add(found)
    store.mark_used([found[0].id], "mine-1", "f")

    page.locator(".pb-consent-yes button").last.click()
    expect(page.locator(".pb-consent-no").last).to_be_visible()
    expect(page.locator(".toast-body")).to_contain_text("mine-1")
    assert [(row.consent, row.steps) for row in kept()] == [(False, ())] * 2
    assert [row.id for row in store.pending() if row.rater == rater] == []
    send(page, "Translate this: good morning")
    page.locator("[data-act=like]").last.click()
    expect(page.locator("[data-act=like][aria-pressed=true]")).to_have_count(2)
    assert [row.consent for row in kept()] == [False] * 3
    page.locator(".pb-consent-no button").last.click()
    expect(page.locator(".pb-consent-yes").last).to_be_visible()
    assert [row.consent for row in kept()] == [False, False, True]


@pytest.mark.browser
def test_a_route_that_was_chosen_anew_is_kept_with_the_answer_it_led_to(
    visit: Visit, quick: Any
) -> None:
    page, before = visit(quick), len(quick.feedback.corrections())
    send(page, "What a lovely review")
    page.locator("[data-act=like]").click()
    page.locator(".pb-consent-unsaid [data-act=agree]").click()
    expect(page.locator(".pb-consent-yes")).to_be_visible()
    page.locator(".pb-again [data-task=summarization]").click()
    expect(page.locator(".pb-route")).to_contain_text("Summary", use_inner_text=True)
    expect(page.locator(".pb-consent[data-kept=true]")).to_have_count(1)
    [correction] = quick.feedback.corrections()[before:]
    [step] = correction.steps
    assert (step.task, step.content) == ("summarization", "What a lovely review")
    assert correction.consent


@pytest.mark.browser
def test_refusing_is_remembered_and_keeps_nothing_more(visit: Visit, quick: Any) -> None:
    page, before = visit(quick), len(quick.feedback.ratings())
    send(page, "Translate this: good evening")
    page.locator("[data-act=like]").click()
    page.locator(".pb-consent-unsaid [data-act=refuse]").click()
    expect(page.locator(".pb-consent-no")).to_be_visible()
    page.reload()
    expect(page.locator(".pb-consent-no")).to_be_visible()
    assert [(r.consent, r.rater) for r in quick.feedback.ratings()[before:]] == [(False, "")]
    stored = page.evaluate("Object.keys(localStorage)")
    assert "patchbay.rater" not in stored
