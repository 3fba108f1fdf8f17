"""`What can you do?` on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browse import assert_fits, send
from named_starter import Starter
from playwright.sync_api import Page, expect

from agent.agent import Agent
from agent.planning.planner import Planner
from tasks.spec import load_tasks

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("locale", "asked", "said", "route"),
    [
        ("en-US", "What can you do?", "Judged good: ", "from the task files"),
        ("zh-CN", "你会做什么？", "评测良好", "取自任务文件"),
    ],
)
def test_it_is_answered_from_the_task_files(
    visit: Callable[..., Page],
    serve: Callable[[Agent], Any],
    planner: Planner,
    locale: str,
    asked: str,
    said: str,
    route: str,
) -> None:
    engine = Starter()
    page = visit(serve(Agent(engine, load_tasks(), planner)), locale=locale)
    answer = send(page, asked)
    expect(answer).to_contain_text(said)
    chip = answer.locator(".pb-route summary")
    expect(chip).to_contain_text(route, use_inner_text=True)
    expect(chip).not_to_contain_text("base, no adapter")
    chip.click()
    expect(answer.locator(".pb-why table")).to_have_count(0)
    assert_fits(page)
    assert engine.calls == []
