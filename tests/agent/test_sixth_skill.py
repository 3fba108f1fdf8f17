"""A skill is data: a folder with two YAML files is routed to and answered, with no code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from served import served

from agent.agent import Agent
from agent.build import assemble
from agent.events import Event, Finished, Planned, StepFinished
from core.settings import Settings
from engine.fake import FakeEngine
from engine.interface import ChooseRequest

TASK = """
name: urgency
version: 1
kind: choose
title: {en: Urgency, zh: 紧急程度}
description: {en: Says how urgent a message is., zh: 判断消息有多紧急。}
commands: [urgent]
prompt: {system: "How urgent is the message? {labels}"}
labels:
  high: {en: high, zh: 高}
  low: {en: low, zh: 低}
examples: {en: ["How urgent is this? The server is down."], zh: ["这条消息急不急？"]}
"""
REQUESTS = """
en:
  - How urgent is this message?
  - Does this ticket need attention right away?
  - Rate the urgency of the following email
  - Is it urgent?
  - What priority does this ticket have?
  - Can this request wait or is it pressing?
zh:
  - 这条消息紧急吗？
  - 判断一下这封邮件的紧急程度
  - 这个工单急不急？
  - 这件事的优先级高吗？
  - 需要马上处理吗？
  - 看看这个请求有多急
"""


SPELLINGS = [
    "/urgent The server is down",
    "/urgency The server is down",
    "How urgent is this ticket: The server is down",
    "这封邮件紧急吗：服务器挂了",
]


# Its slots have names that no shipped task has: only their types say what they are for.
FILING = """
name: filing
version: 1
kind: choose
title: {en: Filing, zh: 归档}
description: {en: Says where a message belongs., zh: 判断消息归入哪里。}
commands: [file]
prompt: {system: "Which of these is the message about? {shown}"}
labels:
  bill: {en: bill, zh: 账单}
  letter: {en: letter, zh: 信件}
slots:
  categories: {type: labels}
"""


def add_skill(home: Path, name: str, task: str) -> None:
    folder = home / "tasks" / name
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(task, encoding="utf-8")
    (folder / "requests.yaml").write_text(REQUESTS, encoding="utf-8")


def test_it_is_routed_to_and_answered_beside_the_others(
    home: Path, starter_settings: Settings
) -> None:
    add_skill(home, "urgency", TASK)
    agent = assemble(FakeEngine(), starter_settings)
    for text in SPELLINGS:
        events = list(agent.answer(text, explain=False))
        assert tasks_of(events) == ["urgency"], text
        assert isinstance(events[-1], Finished)
        assert set(events[-1].labels) == {"high", "low"}
    assert tasks_of(agent.answer("Translate into German: The server is down")) == ["translation"]
    assert tasks_of(agent.answer("Good morning!")) == ["generation"]


@pytest.fixture(params=["labels", "categories"])
def filing(home: Path, starter_settings: Settings, request: pytest.FixtureRequest) -> Agent:
    """An agent with the skill, whose prompt names the list in either way."""
    add_skill(home, "filing", FILING.replace("shown", request.param))
    return assemble(FakeEngine(), starter_settings)


def test_labels_of_ones_own_reach_a_slot_of_any_name(filing: Agent) -> None:
    request = 'Spam, ham or eggs? "You won a ham, claim your ham now."'
    events = list(filing.answer(request, task="filing", explain=False))
    (finished,) = [event for event in events if isinstance(event, StepFinished)]
    assert set(finished.labels) == {"Spam", "ham", "eggs"}
    assert_offered(filing, ["Spam", "ham", "eggs"])


def test_labels_over_the_api_reach_a_slot_of_any_name(filing: Agent) -> None:
    body = {"input": "all about cooking", "task": "file", "labels": ["sports", "cooking"]}
    with served(filing) as site:
        found = httpx.post(f"{site.address}/v1/classify", json=body, timeout=30).json()
    assert found["label"] == "cooking"
    assert set(found["labels"]) == {"sports", "cooking"}
    assert_offered(filing, ["sports", "cooking"])


def assert_offered(agent: Agent, labels: list[str]) -> None:
    """The engine scored these labels, and the prompt showed them."""
    (call,) = agent.engine.calls  # type: ignore[attr-defined]
    assert isinstance(call, ChooseRequest)
    assert call.labels == tuple(labels)
    assert call.messages[0]["content"].endswith("about? " + ", ".join(labels))


def tasks_of(events: Iterable[Event]) -> list[str]:
    planned = next(iter(events))
    assert isinstance(planned, Planned)
    return [step.task for step in planned.plan.steps]
