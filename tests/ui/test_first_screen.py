"""The examples of the first screen, each as a click sends it, with the shipped adapters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape

import pytest

from agent.agent import Agent
from agent.events import Event, Notice, Planned, StepFinished, StepStarted
from agent.options import TurnOptions
from agent.planning.planner import Planner
from engine.engine import TorchEngine
from tasks import languages
from tasks.spec import load_tasks
from ui.frame import draw_welcome

pytestmark = pytest.mark.starter

TASKS = load_tasks()


def sentence_in(code: str, *words: str, most: int = 120) -> Callable[[str], bool]:
    """One sentence of a language that says these words."""

    def fits(text: str) -> bool:
        whole = text[-1] in ".。" and len(re.findall(r"[.!?。！？]", text)) == 1
        found = all(word in text for word in words)
        return whole and found and len(text) <= most and languages.detect(text, code) == code

    return fits


def listed(count: int) -> Callable[[str], bool]:
    """So many lines with a number or a bullet, each a sentence, and nothing else."""

    def fits(text: str) -> bool:
        items = re.findall(r"^(\d\.|-) \w.+[.!]", text, re.M)
        numbers = [f"{i + 1}." for i in range(count)]
        return items in (numbers, ["-"] * count) and len(text.splitlines()) == count

    return fits


def label(name: str) -> Callable[[str], bool]:
    return lambda text: text == name


LIBRARY = sentence_in("en", "library", "ten")
# How an example's request begins -> the tasks of its plan, each with what its result must be.
EXPECTED: Mapping[str, Mapping[str, Callable[[str], bool]]] = {
    "Write three short tips": {"generation": listed(3)},
    "Translate into French": {"translation": sentence_in("fr", "bibliothèque", "fermée", "lundi")},
    "把“我每天早上": {"translation": sentence_in("en", "I drink", "coffee", "every morning")},
    "Summarize in one sentence": {"summarization": LIBRARY},
    "用一句话概括": {"summarization": sentence_in("zh", "火", "森林", most=40)},
    "Is this review positive": {"sentiment": label("negative")},
    "这条评论": {"sentiment": label("positive")},
    "Which section": {"classification": label("sports")},
    "Summarize this in one sentence, then": {
        "summarization": LIBRARY,
        "translation": sentence_in("es", "biblioteca", "diez", "mes"),
    },
    "把这段话译成英文": {
        "translation": sentence_in("en", "room", "clean", "breakfast"),
        "sentiment": label("positive"),
    },
}
SHOWN = [unescape(text) for text in re.findall(r'data-text="([^"]*)"', draw_welcome(TASKS))]


@pytest.fixture(scope="module")
def agent(starter_engine: TorchEngine, planner: Planner) -> Agent:
    return Agent(starter_engine, TASKS, planner)


def test_every_example_has_its_check() -> None:
    begun = [[start for start in EXPECTED if text.startswith(start)] for text in SHOWN]
    assert [len(starts) for starts in begun] == [1] * len(SHOWN)
    assert len(SHOWN) == len(EXPECTED)


@pytest.mark.parametrize("text", SHOWN)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_example_is_answered_well(agent: Agent, text: str, seed: int) -> None:
    expected = next(checks for start, checks in EXPECTED.items() if text.startswith(start))
    events: list[Event] = list(agent.answer(text, ask=True, options=TurnOptions(seed=seed)))
    (planned,) = (one for one in events if isinstance(one, Planned))
    assert list(planned.plan.tasks) == list(expected)
    assert [one.message for one in events if isinstance(one, Notice)] == []
    for event in events:
        if isinstance(event, StepStarted):
            assert event.adapter in TASKS[event.step.task].adapters
        if isinstance(event, StepFinished):
            assert event.stopped == "end"
            assert expected[planned.plan.tasks[event.index]](event.text), event.text


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (listed(3), "1. Start slowly.\n2. Rest."),
        (listed(3), "Run, and do not stop."),
        (sentence_in("fr", "bibliothèque"), "The library is closed on Mondays."),
        (sentence_in("fr", "bibliothèque"), "La bibliothèque est fermée. Elle est là."),
        (LIBRARY, "The library"),
    ],
)
def test_the_checks_can_fail(check: Callable[[str], bool], bad: str) -> None:
    assert not check(bad)
