"""What can be done here is said from the task files and the judged figures."""

from __future__ import annotations

import re

import pytest
from named_starter import Starter

from agent.agent import Agent
from agent.events import Finished, Planned
from agent.options import TurnOptions
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks

TASKS = load_tasks()


def said(planner: Planner, text: str, engine: FakeEngine, **how) -> str:
    *_, last = Agent(engine, TASKS, planner).answer(text, **how)
    assert isinstance(last, Finished)
    return last.text


@pytest.mark.parametrize(
    "text", ["What can you do?", "  what can you do", "你会做什么？", "你会做什么"]
)
def test_every_task_stands_there_and_no_model_is_asked(planner: Planner, text: str) -> None:
    engine = Starter()
    answer = said(planner, text, engine)
    assert engine.calls == []
    lang = "zh" if "你" in text else "en"
    for task in TASKS.values():
        assert getattr(task.title, lang) in answer
        assert getattr(task.description, lang) in answer


def test_what_is_judged_good_and_what_is_not(planner: Planner) -> None:
    answer = said(planner, "What can you do?", Starter())
    [line] = [line for line in answer.splitlines() if "**Translation**" in line]
    good, _, weak = line.partition("Judged weak")
    floor = TASKS["translation"].floors["bleu"]
    assert "English → French (everyday sentences) BLEU" in good
    assert all(int(n) >= floor for n in re.findall(r"BLEU (\d+)", good))
    assert all(int(n) <= floor for n in re.findall(r"BLEU (\d+)", weak))


def test_without_adapters_nothing_is_promised(planner: Planner) -> None:
    answer = said(planner, "What can you do?", FakeEngine())
    assert "Judged" not in answer
    assert answer.count("No adapter is trained") == len(TASKS)
    nobody = TurnOptions(allowed=())
    assert said(planner, "What can you do?", Starter(), options=nobody) == answer


@pytest.mark.parametrize(
    "text", ["What can you do with eggs?", "Translate: what can you do?", "你会做什么菜？"]
)
def test_one_word_more_is_another_request(planner: Planner, text: str) -> None:
    assert planner.plan(text).reason != "abilities"


def test_a_chosen_skill_or_a_file_is_worked_on(planner: Planner) -> None:
    text = "What can you do?"
    assert planner.plan(text, task="translation").reason == "chosen"
    assert planner.plan(text, content="A text.").reason != "abilities"
    first = next(Agent(FakeEngine(), TASKS, planner).answer(text))
    assert isinstance(first, Planned)
    assert first.plan.reason == "abilities"
