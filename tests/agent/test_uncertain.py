"""What is done where the planner is uncertain: asked, picked, and read again as it was picked."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable

import pytest
from typer.testing import CliRunner

from agent import __main__ as command_line
from agent import build
from agent.agent import Agent
from agent.events import Event, Failed, Finished, Planned
from agent.plan import Plan
from agent.planning.planner import Planner
from core.settings import Settings
from engine.fake import FakeEngine
from tasks.spec import Message, load_tasks

TEXT = "Summarize this in French: The shop opens at nine. It closes at ten. It is new."


@pytest.fixture
def unsure(planner: Planner) -> Planner:
    """The real planner, with a threshold that no plan reaches."""
    other = copy.copy(planner)
    other.threshold = 1.1
    return other


@pytest.fixture
def agent(unsure: Planner) -> Agent:
    return Agent(FakeEngine(), load_tasks(), unsure)


def planned(events: Iterable[Event]) -> Plan:
    return next(event.plan for event in events if isinstance(event, Planned))


def test_whoever_can_be_asked_is_and_a_program_gets_the_likeliest(agent: Agent) -> None:
    asked = list(agent.answer(TEXT, ask=True))
    assert isinstance(asked[-1], Failed)
    assert asked[-1].kind == "AsksBack"
    assert "Summary → Translation" in asked[-1].message
    assert len(asked) == 2
    acted = list(agent.answer(TEXT))
    assert isinstance(acted[-1], Finished)
    assert planned(acted).uncertain


def test_a_pick_runs_that_very_plan(agent: Agent) -> None:
    plan = planned(agent.answer(TEXT, ask=True))
    assert plan.alternative
    for offered in (plan, plan.alternative):
        events = list(agent.answer(TEXT, picked=offered.tasks, ask=True))
        ran = planned(events)
        assert (ran.tasks, ran.reason, ran.uncertain) == (offered.tasks, "picked", False)
        assert [step.text for step in ran.steps] == [step.text for step in offered.steps]
        assert isinstance(events[-1], Finished)
    gone = list(agent.answer(TEXT, picked=["sentiment", "generation"]))[-1]
    assert isinstance(gone, Failed)
    assert "Send the request again" in gone.message


def test_what_was_picked_or_routed_is_what_a_later_turn_refers_to(unsure: Planner) -> None:
    said = "Translate into French: The train is late."
    history: list[Message] = [
        {"role": "user", "content": said},
        {"role": "assistant", "content": "Le train est en retard."},
        {"role": "user", "content": "and in German?", "plan": ["translation"]},
        {"role": "assistant", "content": "Der Zug hat Verspätung."},
    ]
    (step,) = unsure.plan("and in Spanish?", history).steps
    assert (step.task, step.slots["target"]) == ("translation", "es")
    assert step.text == "The train is late."


def test_the_terminal_says_so(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, starter_settings: Settings
) -> None:
    monkeypatch.setattr(build, "build_agent", lambda settings, progress: agent)
    drawn = CliRunner().invoke(command_line.app, ["ask", TEXT])
    assert drawn.exit_code == 0, drawn.output
    assert "not sure of that; perhaps you meant" in drawn.stderr
    told = CliRunner().invoke(command_line.app, ["ask", "--json", TEXT])
    result = json.loads(told.stdout)
    assert result["uncertain"] is True
    assert result["alternative"]["plan"] != [step["task"] for step in result["plan"]]
    assert 0 < result["alternative"]["confidence"] < 1
