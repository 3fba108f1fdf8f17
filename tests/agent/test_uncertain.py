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
from tasks.spec import Message, SlotValue, load_tasks

TEXT = "Summarize this in French: The shop opens at nine. It closes at ten. It is new."
GERMAN: dict[str, SlotValue] = {"target": "de"}


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


def test_a_chosen_language_reaches_the_step_and_what_refers_to_it(agent: Agent) -> None:
    to_german = list(agent.answer(TEXT, picked=["summarization", "translation"], slots=GERMAN))
    first, second = planned(to_german).steps
    assert ("target" in first.slots, second.slots["target"]) == (False, "de")
    (rerouted,) = planned(agent.answer(TEXT, task="translation", slots=GERMAN)).steps
    assert (rerouted.task, rerouted.slots["target"]) == ("translation", "de")
    history: list[Message] = [
        {"role": "user", "content": "It is new.", "task": "translation", "slots": GERMAN},
        {"role": "assistant", "content": "Es ist neu."},
    ]
    (step,) = agent.planner.plan("Now this one: The shop opens at nine.", history).steps
    assert (step.task, step.slots["target"]) == ("translation", "de")


@pytest.mark.parametrize(
    ("task", "slots", "said"),
    [
        ("translation", {"target": "xx-nonsense"}, "no language"),
        ("sentiment", GERMAN, "No step of sentiment has a slot 'target'"),
    ],
)
def test_a_choice_that_is_none_says_so(
    agent: Agent, task: str, slots: dict[str, SlotValue], said: str
) -> None:
    last = list(agent.answer(TEXT, task=task, slots=slots))[-1]
    assert isinstance(last, Failed)
    assert said in last.message


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
