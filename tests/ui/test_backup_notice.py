"""The page says where ratings go, and when they go nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browse import send
from huggingface_hub import HfApi
from playwright.sync_api import Page, expect
from served import served

from agent.agent import Agent
from agent.feedback.hub_backup import HubBackup
from agent.feedback.store import Feedback
from ui.frame import draw_composer


def test_a_space_that_keeps_nothing_says_so_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lost at the next restart" not in draw_composer({}, Path("/ratings"))
    monkeypatch.setenv("SPACE_ID", "you/patchbay")
    monkeypatch.delenv("PATCHBAY_HOME")
    summary = draw_composer({}, Path("/ratings")).split("<summary>")[-1].split("</summary>")[0]
    assert "Ratings here are lost at the next restart" in summary
    assert "重启时丢失" in summary
    kept = draw_composer({}, Path("/ratings"), "you/ratings")
    assert "you/ratings, a private data set" in kept
    assert "restart" not in kept


@pytest.mark.browser
def test_a_copy_that_is_behind_is_told_to_whoever_rates(
    visit: Callable[..., Page], fake_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    feedback = Feedback(tmp_path / "feedback.sqlite")
    # Port 9 is closed: a hub that is not there.
    backup = HubBackup("you/ratings", feedback, HfApi("http://127.0.0.1:9", token="hf_any"))
    backup.sync()
    assert backup.problem
    agent: Any = fake_agent()
    with served(agent, feedback, backup) as site:
        page = visit(site)
        send(page, "Hello there")
        page.get_by_role("button", name="Good answer").click()
        expect(page.get_by_text("Its copy in you/ratings on the hub is behind")).to_be_visible()
        assert len(feedback.ratings()) == 1
