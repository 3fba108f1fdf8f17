"""Visitors of the page wait in the queue, see their place move, and may leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import LONG, send
from playwright.sync_api import Page, expect
from polling import eventually

from agent.agent import Agent

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]


def test_the_place_in_line_is_shown_and_moves_and_stop_leaves(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent]
) -> None:
    site = serve(fake_agent(delay=0.05), max_running=1)
    queue = site.agent.limits.queue
    first, second, third, chinese = visit(site), visit(site), visit(site), visit(site, locale="zh")
    expect(send(first, LONG, wait=False)).to_contain_text("word word")
    behind = [send(page, LONG, wait=False) for page in (second, third)]
    expect(behind[0]).to_contain_text("You are 1st in line.")
    expect(behind[1]).to_contain_text("You are 2nd in line.")
    last = send(chinese, LONG, wait=False)
    expect(last).to_contain_text("你排在第 3 位", use_inner_text=True)

    second.get_by_role("button", name="Stop").click()
    expect(behind[0]).to_contain_text("Stopped")
    expect(behind[1]).to_contain_text("You are 1st in line.")
    assert queue.waiting == 2

    chinese.context.close()
    assert eventually(lambda: (queue.running, queue.waiting) == (1, 1))

    first.get_by_role("button", name="Stop").click()
    expect(behind[1]).to_contain_text("word word")
    assert len(site.agent.engine.calls) == 2
    third.get_by_role("button", name="Stop").click()


def test_too_much_is_a_sentence_in_both_languages(
    visit: Visit, serve: Callable[..., Any], fake_agent: Callable[..., Agent]
) -> None:
    site = serve(fake_agent(delay=0.05), visitor_running=1, visitor_rate=3)
    first, second = visit(site), visit(site)
    expect(send(first, LONG, wait=False)).to_contain_text("word word")
    refused = send(second, "Hello there").get_by_role("alert")
    expect(refused).to_contain_text("1 of your requests are running or waiting")
    first.get_by_role("button", name="Stop").click()
    expect(first.locator("html")).not_to_have_attribute("data-busy", "true")
    expect(send(second, "Hello again")).to_contain_text("[base] Hello again")
    refused = send(second, "And again").get_by_role("alert")
    expect(refused).to_contain_text("3 requests within a minute")
    second.get_by_role("button", name="中文").click()
    expect(refused).to_contain_text("你的请求太多了", use_inner_text=True)
    assert len(site.agent.engine.calls) == 2
