"""Instructions are not promised where the chat's adapter was not trained with any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import PHONE, assert_fits
from named_starter import Starter
from playwright.sync_api import Page, expect

from agent.agent import Agent
from agent.inventory import ignores_instructions
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks


class SmolLM(Starter):
    base = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize(
    ("engine", "name"), [(SmolLM(), "generation-en"), (Starter(), ""), (FakeEngine(), "")]
)
def test_the_record_of_the_chats_adapter_decides(
    planner: Planner, engine: FakeEngine, name: str
) -> None:
    assert ignores_instructions(Agent(engine, load_tasks(), planner)) == name


@pytest.mark.browser
@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({}, "generation-en was not trained with instructions"),
        (PHONE | {"locale": "zh-CN"}, "聊天适配器 generation-en 没有用"),
    ],
)
def test_the_page_says_so_at_instructions(
    visit: Callable[..., Page],
    serve: Callable[[Agent], Any],
    planner: Planner,
    look: dict[str, Any],
    said: str,
) -> None:
    page = visit(serve(Agent(SmolLM(), load_tasks(), planner)), **look)
    page.locator(".pb-own summary").click()
    note = page.locator(".pb-own .pb-warn")
    expect(note).to_contain_text(said, use_inner_text=True)
    expect(page.locator("#pb-own")).to_be_in_viewport(ratio=1)
    assert_fits(page)


@pytest.mark.browser
def test_nothing_is_said_where_the_adapter_was_trained_with_them(
    visit: Callable[..., Page], serve: Callable[[Agent], Any], planner: Planner
) -> None:
    page = visit(serve(Agent(Starter(), load_tasks(), planner)))
    page.locator(".pb-own summary").click()
    expect(page.locator("#pb-own")).to_be_visible()
    expect(page.locator(".pb-own .pb-warn")).to_have_count(0)
