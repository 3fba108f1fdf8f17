"""The page in a real browser, on the fake engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from browse import LONG, PHONE, assert_fits, assert_nothing_sent, send
from playwright.sync_api import Page, expect
from polling import settled

from engine.fake import FakeEngine

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def test_english_request_shows_route_and_answer(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    answer = send(page, "Why is the sky blue?")
    route = answer.locator(".pb-route summary")
    expect(route).to_contain_text("Chat")
    expect(route).to_contain_text("fairly sure of the route")
    expect(route).to_contain_text("base, no adapter")
    expect(answer).to_contain_text("[base] Why is the sky blue?")
    route.click()
    expect(answer.locator(".pb-why")).to_contain_text("a sample request for generation")
    expect(answer.locator(".pb-why tbody tr")).to_have_count(1)
    expect(answer.locator(".pb-why code")).to_be_hidden()
    answer.get_by_role("button", name="Fingerprints").click()
    expect(answer.locator(".pb-why code")).to_contain_text("base=")


def test_chinese_visitor_reads_chinese(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    answer = send(page, "把“图书馆”翻译成法文")
    expect(answer.locator(".pb-route summary")).to_contain_text("翻译", use_inner_text=True)
    expect(answer.locator(".pb-route summary")).to_contain_text("译成法语", use_inner_text=True)
    expect(answer.locator(".pb-route summary")).to_contain_text(
        "适配器 translation-fake", use_inner_text=True
    )
    expect(answer).to_contain_text("图书馆")


def test_language_switches_everywhere_and_survives_reload(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "Hello there")
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".pb-route summary")).to_contain_text("对话", use_inner_text=True)
    expect(page.locator("#pb-text")).to_have_attribute("placeholder", "写下你的请求……")
    page.reload()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    expect(page.locator(".pb-route summary")).not_to_contain_text("Chat", use_inner_text=True)


def test_answer_streams_and_stop_ends_the_computation(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    answer = send(page, LONG, wait=False)
    expect(answer).to_contain_text("word word")
    page.get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("Stopped")
    assert_stays_ended(slow.agent.engine)
    expect(answer).to_contain_text("word word")


def test_closed_tab_ends_the_computation(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    expect(send(page, LONG, wait=False)).to_contain_text("word word")
    page.context.close()
    assert_stays_ended(slow.agent.engine)


def test_new_conversation_ends_what_runs_and_keeps_it(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    expect(send(page, LONG, wait=False)).to_contain_text("word word")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    assert_stays_ended(slow.agent.engine)
    page.locator(".pb-chat").click()
    expect(page.locator(".bot-row")).to_contain_text("Stopped")


def assert_stays_ended(engine: FakeEngine) -> None:
    """Tokens stop being made soon, long before the 400 of the whole answer."""
    before = engine.passes
    assert settled(lambda: engine.passes, still=0.5)
    assert engine.passes - before < 40


def test_override_answers_again_and_is_kept_as_an_example(visit: Visit, quick: Any) -> None:
    page, others = visit(quick), quick.feedback.corrections()
    send(page, "The train leaves at nine.")
    page.get_by_role("button", name="Summary", exact=True).click()
    expect(page.locator(".pb-route summary")).to_contain_text("Summary")
    expect(page.locator(".bot-row")).to_contain_text("kept as a routing example")
    [kept] = [row for row in quick.feedback.corrections() if row not in others]
    assert (kept.request, kept.tasks) == ("The train leaves at nine.", ["summarization"])
    assert kept.instead_of == ["generation"]
    page.get_by_role("button", name="Sentiment", exact=True).click()
    expect(page.locator(".pb-route summary")).to_contain_text("Sentiment")
    kept_now = [row for row in quick.feedback.corrections() if row not in others]
    assert [row.tasks for row in kept_now] == [["sentiment"]]


def test_like_is_stored_with_fingerprints_and_can_be_taken_back(visit: Visit, quick: Any) -> None:
    page, others = visit(quick), quick.feedback.ratings()

    def ratings() -> list[Any]:
        return [row for row in quick.feedback.ratings() if row not in others]

    send(page, "Translate this: good morning")
    like = page.get_by_role("button", name="Good answer")
    like.click()
    expect(like).to_have_attribute("aria-pressed", "true")
    [row] = ratings()
    assert row.rating == 1
    assert row.tasks == ["translation"]
    assert row.fingerprints["adapter"] == "0123456789ab"
    page.get_by_role("button", name="Bad answer").click()
    expect(like).to_have_attribute("aria-pressed", "false")
    assert [row.rating for row in ratings()] == [-1]
    page.get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")
    assert ratings() == []


def test_steps_of_a_plan_show_as_they_run(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    answer = send(page, "Summarize and translate " + "word " * 8, wait=False)
    steps = answer.locator(".pb-step")
    expect(steps.nth(0)).to_contain_text("running")
    expect(steps.nth(1)).to_contain_text("waiting")
    expect(steps.nth(0)).to_contain_text("done")
    expect(steps.nth(1)).to_contain_text("done")
    expect(answer).to_contain_text("[translation-fake] [base] Summarize")


def test_choice_shows_bars_and_the_words_that_carried_it(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    answer = send(page, "This review says positive things, then something else again")
    rows = answer.locator(".pb-bars li")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(re.compile(r"positive.*\d+%", re.DOTALL))
    expect(answer.locator("mark.pb-for")).to_contain_text("positive")


def test_history_survives_reload_and_can_be_switched_and_deleted(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "first conversation")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    send(page, "second conversation")
    page.reload()
    expect(page.locator(".pb-said")).to_contain_text("second conversation")
    expect(page.locator(".pb-chat")).to_have_count(2)
    page.locator(".pb-chat", has_text="first").click()
    expect(page.locator(".bot-row")).to_contain_text("[base] first conversation")
    page.locator(".pb-chats li", has_text="first").hover()
    page.locator(".pb-chats li", has_text="first").get_by_role(
        "button", name="Delete conversation"
    ).click()
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    expect(page.locator(".pb-chat")).to_have_text(["second conversation"])
    page.get_by_role("button", name="Delete all").click()
    page.get_by_role("button", name="Really delete all?").click()
    expect(page.locator(".pb-chat")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("What can I do for you?")).to_be_visible()


def test_edit_regenerate_undo_and_copy(visit: Visit, quick: Any) -> None:
    page = visit(quick, permissions=["clipboard-read", "clipboard-write"])
    send(page, "one")
    send(page, "two")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    expect(page.locator(".bot-row .pb-actions")).to_have_count(2)
    page.get_by_role("button", name="Copy").last.click()
    page.wait_for_selector("[data-act=copy][data-done]")
    assert page.evaluate("navigator.clipboard.readText()") == "[base] two"
    page.get_by_role("button", name="Undo").click()  # the second answer
    expect(page.locator(".pb-versions")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()  # the request
    expect(page.locator(".user-row")).to_have_count(1)
    expect(page.locator("#pb-text")).to_have_value("two")
    page.locator(".pb-request").hover()
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_text("Editing an earlier request")).to_be_visible()
    send(page, "one, changed")
    expect(page.locator(".user-row")).to_have_count(1)
    expect(page.locator(".bot-row")).to_contain_text("[base] one, changed")


def test_an_answer_that_was_cut_short_is_gone_on_with(
    visit: Visit, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visit(quick)
    monkeypatch.setattr(quick.agent.limits, "max_answer_tokens", 4)
    answer = send(page, "one two three four five six seven")
    expect(answer).to_contain_text("Length limit reached")
    page.get_by_role("button", name="Continue").click()
    expect(answer).to_contain_text("[base] one two three four five six seven")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    expect(page.locator(".user-row")).to_have_count(1)
    page.reload()  # it was kept with what came first
    expect(answer).to_contain_text("[base] one two three four five six seven")


def test_an_answer_that_goes_round_in_circles_says_so(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    answer = send(page, "round and round " * 60)
    expect(answer).to_contain_text("开始重复，已提前结束", use_inner_text=True)
    expect(page.get_by_role("button", name="继续")).to_be_visible()


def test_a_summary_of_a_long_text_opens_its_places(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Any]
) -> None:
    page = visit(serve(fake_agent(context_tokens=400)))
    text = "\n\n".join(
        f"# Chapter {n}\n\nThe bridge {n} is <b>red</b>. " + "It rained. " * 30
        for n in range(1, 13)
    )
    answer = send(page, "Summarize this.\n\n" + text)
    sources = answer.locator(".pb-sources")
    expect(sources).to_contain_text("Parts of the text that went in: 12 of 12")
    line = sources.locator("details", has_text="The bridge 1 is <b>red</b>.").first
    expect(line.locator("mark")).to_be_hidden()
    line.locator("summary").click()
    expect(line.locator("mark")).to_have_text("The bridge 1 is <b>red</b>.")
    expect(line.locator("summary")).to_contain_text("Chapter 1")
    page.reload()
    expect(page.locator(".pb-sources")).to_contain_text("12 of 12")
    verdict = send(page, "Is this review good?\n\n" + text)
    expect(verdict.locator(".pb-sources details")).to_have_count(12)


def test_enter_sends_shift_enter_does_not_and_composition_does_not(
    visit: Visit, quick: Any
) -> None:
    page = visit(quick)
    box = page.locator("#pb-text")
    box.press_sequentially("ni")
    for how in ("{isComposing: true}", "{keyCode: 229}"):
        options = f"Object.assign({{key: 'Enter', bubbles: true, cancelable: true}}, {how})"
        box.evaluate(f"(area) => area.dispatchEvent(new KeyboardEvent('keydown', {options}))")
        assert_nothing_sent(page)
    expect(box).to_have_value("ni")
    box.press("Shift+Enter")
    box.press_sequentially("hao")
    expect(box).to_have_value("ni\nhao")
    box.press("Enter")
    expect(page.locator(".pb-said")).to_contain_text("ni\nhao")
    expect(box).to_have_value("")


def test_composition_by_a_real_input_method(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    page.locator("#pb-text").focus()
    keyboard = page.context.new_cdp_session(page)
    keyboard.send(
        "Input.imeSetComposition", {"text": "你好", "selectionStart": 2, "selectionEnd": 2}
    )
    page.keyboard.press("Enter")
    assert_nothing_sent(page)
    keyboard.send("Input.insertText", {"text": "你好"})
    page.keyboard.press("Enter")
    expect(page.locator(".pb-said")).to_contain_text("你好")


def test_colours_follow_the_system_and_the_switch(visit: Visit, quick: Any) -> None:
    page = visit(quick, color_scheme="dark")
    background = "getComputedStyle(document.querySelector('.gradio-container')).backgroundColor"
    assert page.evaluate(background) == "rgb(22, 24, 27)"
    page.locator("[data-act=theme]").click()  # from the system's colours to light
    assert page.evaluate(background) == "rgb(250, 249, 246)"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(background) == "rgb(250, 249, 246)"


def test_examples_in_both_languages(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    tasks = quick.agent.tasks
    for language, titles in (("en", [t.title.en for t in tasks.values()]), ("zh", None)):
        cards = page.locator(f".pb-card button[lang={language}]:visible")
        shown = [task for task in tasks.values() if language in task.examples]
        expect(cards).to_have_count(len(shown) + 1)
        expect(page.locator(".pb-card:visible")).to_have_count(len(shown) + 1)
        for title in titles or []:
            expect(page.locator(".pb-card", has_text=title).first).to_be_visible()
        page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="English").click()
    page.locator(".pb-card button:visible").first.click()
    expect(page.locator(".bot-row .pb-actions")).to_be_visible()


@pytest.mark.parametrize("phone", [False, True])
def test_instructions_lead_the_chat_and_stay_with_the_conversation(
    visit: Visit, quick: Any, phone: bool
) -> None:
    page = visit(quick, **(PHONE if phone else {}))
    page.get_by_text("Options", exact=True).click()
    own = page.get_by_label("Instructions for this conversation")
    own.fill("Answer as a pirate would.")
    expect(own).to_be_in_viewport(ratio=1)
    assert_fits(page)
    send(page, "Good morning")
    assert quick.agent.engine.calls[-1].messages[0] == {
        "role": "system",
        "content": "Answer as a pirate would.",
    }
    page.reload()
    expect(own).to_have_value("Answer as a pirate would.")
    if phone:
        page.locator("[data-act=menu]").click()
    page.get_by_role("button", name="New conversation").click()
    expect(own).to_have_value("")
    send(page, "Good evening")
    assert "pirate" not in str(quick.agent.engine.calls[-1].messages)
