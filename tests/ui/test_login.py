"""With keys the page asks who is there, and answers with what that key may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import send
from playwright.sync_api import Browser, expect

from agent.agent import Agent

pytestmark = pytest.mark.browser
KEYS = {"bob": {"key": "bob-0123456789abcdef", "adapters": ["another"]}}


def test_a_visitor_logs_in_and_is_held_to_the_key(
    chromium: Browser, serve: Callable[..., Any], fake_agent: Callable[..., Agent]
) -> None:
    site = serve(fake_agent(), api_keys=KEYS)
    page = chromium.new_page()
    for key in ("wrong-0123456789abcdef", "bob-0123456789abcdef"):
        page.goto(site.address)
        page.get_by_label("username").fill("bob")
        page.get_by_label("password").fill(key)
        page.get_by_role("button", name="Login").click()
        if key.startswith("wrong"):
            expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    page.wait_for_selector("html[data-ready]")
    expect(send(page, "Hello there")).to_contain_text("[base] Hello there")
    answer = send(page, "translate this")
    expect(answer).to_contain_text("'translation-fake', and the key")
    assert site.agent.engine.passes == 3
    page.close()
