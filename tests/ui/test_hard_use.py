"""The page under use that is careless, hurried, unusual or hostile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from browse import LONG, PHONE, assert_fits, send
from playwright.sync_api import Page, expect

from tasks.spec import load_tasks

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
NASTY = "<script>window.hacked=1</script><img src=x onerror=hacked=1>${hacked=1}{{x}} `<b>`"


def test_two_visitors_do_not_see_each_other(visit: Visit, quick: Any) -> None:
    first, second = visit(quick), visit(quick)
    send(first, "my private thought")
    second.reload()
    expect(second.get_by_text("What can I do for you?")).to_be_visible()
    assert "private thought" not in second.content()
    send(second, "hello")
    expect(second.locator("#pb-chat-log")).not_to_contain_text("private")


def test_markup_in_request_and_answer_is_text(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    answer = send(page, NASTY)
    expect(page.locator(".pb-said")).to_contain_text(NASTY)
    expect(answer).to_contain_text("<script>window.hacked=1</script><img src=x")
    send(page, f"review {NASTY}")
    page.reload()
    expect(page.locator(".pb-said").last).to_contain_text(NASTY)
    expect(page.locator(".pb-chat")).to_contain_text("<script>")
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("#pb-chat-log img, #pb-chat-log script").count() == 0


def test_pictures_in_an_answer_are_not_fetched(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "![look](https://example.com/look.png) and $$x^2$$ and <img src='http://x.y/z'>")
    expect(page.locator(".katex").first).to_be_visible()
    # Drawn, and so asked for, if it ever will be; `visit` fails on any request to another host.
    expect(page.locator("#pb-chat-log img")).to_have_count(0)


def test_failure_is_a_friendly_sentence_and_loses_nothing(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    text = "Translate " + "word " * 600
    answer = send(page, text)
    expect(answer.get_by_role("alert")).to_contain_text("Send a shorter text")
    page.get_by_role("button", name="中文").click()
    expect(answer.get_by_role("alert")).to_contain_text("文字太长")
    shown = answer.get_by_role("alert").inner_text()
    assert not re.search("[a-z]{3,}", shown)  # wholly in Chinese
    page.get_by_text("详细信息（英文）").click()
    expect(answer.locator(".pb-detail p")).to_be_visible()
    answer.get_by_role("button", name="修改请求").click()
    expect(page.locator("#pb-text")).to_have_value(text.strip())


def test_a_request_that_is_refused_is_said_and_not_lost(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    box, problem = page.locator("#pb-text"), page.locator(".pb-problem")
    # As the proxy of a Space that restarts.
    page.route("**/queue/join*", lambda route: route.fulfill(status=503))
    box.fill("hello")
    box.press("Enter")
    expect(problem.get_by_text("Patchbay did not answer")).to_be_visible()
    expect(box).to_have_value("hello")
    page.unroute_all()
    send(page, "hello again")
    expect(problem).to_be_hidden()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_phone_has_no_sideways_scroll(visit: Visit, quick: Any, locale: str) -> None:
    page = visit(quick, locale=locale, **PHONE)
    assert_fits(page)
    send(page, "Summarize and translate and review positive " + "x" * 300)
    page.locator(".pb-route summary").click()
    assert_fits(page)
    box = page.locator("#pb-text").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 780
    page.locator("[data-act=menu]").click()
    expect(page.locator(".pb-new")).to_be_in_viewport()
    assert_fits(page)


def test_tabs_on_one_conversation_follow_each_other(visit: Visit, quick: Any) -> None:
    first = visit(quick)
    send(first, "one")
    second = first.context.new_page()
    second.goto(first.url)
    second.wait_for_selector("html[data-ready]")
    send(second, "two")
    expect(first.locator(".pb-said")).to_have_text(["one", "two"])
    send(first, "three")
    expect(second.locator(".pb-said")).to_have_text(["one", "two", "three"])


def test_a_second_enter_sends_nothing(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    page.locator("#pb-text").fill("word " * 20)
    for _ in range(3):
        page.keyboard.press("Enter")
    expect(page.locator(".pb-actions")).to_be_visible()
    expect(page.locator(".pb-said")).to_have_count(1)


def test_far_too_long_a_text_is_refused_and_kept(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    answer = send(page, "word " * 50_000)
    expect(answer.get_by_role("alert")).to_contain_text("at most 200,000")
    expect(answer.locator("[data-act=reroute]")).to_have_count(0)
    answer.get_by_role("button", name="Change the request").click()
    assert len(page.locator("#pb-text").input_value()) == 249_999


def test_text_that_runs_from_the_right_does(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "مرحبا بالعالم.")
    direction = "(element) => getComputedStyle(element).direction"
    assert page.locator(".pb-said").evaluate(direction) == "rtl"


def test_gradio_gives_a_stranger_nothing(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    with page.expect_request(re.compile("session_hash=")) as asked:
        send(page, "my private thought")
    session = asked.value.url.partition("session_hash=")[2]
    quick.feedback.ratings()  # so that the file is there

    def get(path: str) -> tuple[int, str]:
        answer = page.context.request.get(f"{quick.address}/gradio_api/{path}")
        return answer.status, answer.text()

    for file in (quick.feedback.file, "requirements.txt", "app.py", "/etc/hostname"):
        assert get(f"file={file}")[0] == 403
    assert get(f"deep_link?session_hash={session}")[0] == 404
    offered = json.loads(get("info")[1])
    assert offered["unnamed_endpoints"] == {}
    named = {"/chat", *(f"/{name}" for name in load_tasks())}
    assert set(offered["named_endpoints"]) <= named


def test_a_server_that_goes_away_is_noticed(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    expect(send(page, LONG, wait=False)).to_contain_text("word word")
    page.context.set_offline(True)
    expect(page.locator(".pb-lost")).to_be_visible()
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
