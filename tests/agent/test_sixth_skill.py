"""A skill is data: a folder with two YAML files is routed to and answered, with no code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.build import assemble
from agent.events import Event, Finished, Planned
from core.settings import Settings
from engine.fake import FakeEngine

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


def test_it_is_routed_to_and_answered_beside_the_others(
    home: Path, starter_settings: Settings
) -> None:
    folder = home / "tasks" / "urgency"
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK, encoding="utf-8")
    (folder / "requests.yaml").write_text(REQUESTS, encoding="utf-8")
    agent = assemble(FakeEngine(), starter_settings)
    for text in SPELLINGS:
        events = list(agent.answer(text, explain=False))
        assert tasks_of(events) == ["urgency"], text
        assert isinstance(events[-1], Finished)
        assert set(events[-1].labels) == {"high", "low"}
    assert tasks_of(agent.answer("Translate into German: The server is down")) == ["translation"]
    assert tasks_of(agent.answer("Good morning!")) == ["generation"]


def tasks_of(events: Iterable[Event]) -> list[str]:
    planned = next(iter(events))
    assert isinstance(planned, Planned)
    return [step.task for step in planned.plan.steps]
