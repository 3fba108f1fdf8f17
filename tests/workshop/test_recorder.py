"""Turns of a real agent become lines of numbers, and a rollback takes effect while they run."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from polling import eventually
from served import served
from usage_lines import line

from adapter_store.promotions import Promotions
from agent.agent import Agent
from agent.events import Failed, Finished, StepFinished, StepStarted
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks
from workshop.alerts import DriftAlert
from workshop.recorder import Recorder
from workshop.usage import UsageLine, UsageStore
from workshop.watch import Watcher

ADAPTERS = {"sentiment-en": "5e4713e47000", "mine": "abc"}
SECRET = "a most unusual word, zyzzyva"


def lines(store: UsageStore) -> list[UsageLine]:
    store.days()  # makes the file
    with closing(sqlite3.connect(store.file)) as db:
        names = ", ".join(UsageLine.__dataclass_fields__)
        return [UsageLine(*row) for row in db.execute(f"SELECT {names} FROM lines")]


@pytest.fixture
def agent(planner: Planner, home: Path) -> Agent:
    return Agent(FakeEngine(ADAPTERS), load_tasks(), planner)


def watched(agent: Agent, watcher: Watcher) -> Agent:
    agent.watch = Recorder(watcher.store, watcher.after).watch
    return agent


def test_every_step_is_a_line_and_none_of_its_words(agent: Agent) -> None:
    store = UsageStore()
    watched(agent, Watcher(store))
    list(agent.answer(f"Is this positive or negative: the film was {SECRET}", explain=False))
    list(agent.answer("/translate fr Good morning, how are you today?"))
    list(agent.answer("Translate to French, then tell the sentiment: I love it here.",
                      explain=False))  # fmt: skip
    assert eventually(lambda: len(lines(store)) == 4)
    found = lines(store)
    assert [one.task for one in found] == ["sentiment", "translation", "translation", "sentiment"]
    first, second, *_ = found
    assert (first.adapter, first.fingerprint) == ("sentiment-en", "5e4713e47000")
    assert first.choice
    assert first.confidence == pytest.approx(1 / 3)
    assert first.route is not None
    assert first.route > 0.5
    assert first.length == len(f"the film was {SECRET}")
    assert (second.adapter, second.choice, second.route) == ("", False, None)
    for file in store.file.parent.iterdir():
        assert b"zyzzyva" not in file.read_bytes()


def test_questions_back_and_failures_are_no_answers(agent: Agent) -> None:
    store = UsageStore()
    watched(agent, Watcher(store))
    list(agent.answer("/help"))
    list(agent.answer("/translate fr"))
    list(agent.answer("/sentiment a good film", explain=False))
    assert eventually(lambda: lines(store))
    assert [one.task for one in lines(store)] == ["sentiment"], "lines are written in order"


def test_a_turn_that_is_left_is_closed_and_one_with_a_damaged_file_answers(agent: Agent) -> None:
    store = UsageStore()
    watched(agent, Watcher(store))
    turn = agent.answer("/sentiment a good film", explain=False)
    next(turn)
    turn.close()
    list(agent.answer("/sentiment a good film", explain=False))
    assert eventually(lambda: lines(store))
    assert len(lines(store)) == 1
    store.file.write_text("no database " * 100)
    assert isinstance(list(agent.answer("/sentiment a good film"))[-1], Finished)


def test_no_request_waits_for_a_locked_file(agent: Agent) -> None:
    store = UsageStore()
    watched(agent, Watcher(store))
    store.add([line()])
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for _ in range(3):
            list(agent.answer("/sentiment a good film", explain=False))
        assert time.monotonic() - begun < 5, "SQLite waits ten seconds for a lock"
        other.execute("COMMIT")
    assert eventually(lambda: len(lines(store)) == 4), "nothing was lost"


def test_what_fails_after_the_lines_is_logged_and_the_next_ones_are_written(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    store = UsageStore()

    def full(lines: list[UsageLine]) -> None:
        raise OSError("No space left on device")

    agent.watch = Recorder(store, full).watch
    assert isinstance(list(agent.answer("/sentiment a good film"))[-1], Finished)
    assert eventually(lambda: "No space left on device" in caplog.text)
    list(agent.answer("/sentiment a good film"))
    assert eventually(lambda: len(lines(store)) == 2)


def test_a_rollback_drops_no_request_and_takes_effect_at_once(agent: Agent) -> None:
    judged = {"watch": {"bound": 0.7, "gap": 0.0, "deviation": 0.35, "rows": 2000}}
    promotions = Promotions()
    promotions.promote("sentiment", "mine", "abc", judged)
    watcher = Watcher(UsageStore(), roll_back=True)
    watched(agent, watcher)
    answered: list[tuple[float, str | None]] = []
    failed: list[Failed] = []

    def ask(others: int) -> None:
        until = time.monotonic() + 120
        while others and time.monotonic() < until:
            time.sleep(0.01)  # the thread that looks has its turn, however busy the machine
            for event in agent.answer("/sentiment a good film", explain=False):
                if isinstance(event, StepStarted):
                    answered.append((time.monotonic(), event.adapter))
                    others -= event.adapter == "sentiment-en"
                if isinstance(event, Failed):
                    failed.append(event)

    askers = [threading.Thread(target=ask, args=(10,)) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert failed == []
    by_mine = [at for at, name in answered if name == "mine"]
    by_other = [at for at, name in answered if name == "sentiment-en"]
    assert len(by_mine) + len(by_other) == len(answered)
    assert len(by_mine) >= 300
    assert len(by_other) == 40
    assert max(by_mine) - min(by_other) < 2, "requests that had begun, and no more"
    assert eventually(watcher.store.alerts)
    (alert,) = watcher.store.alerts().values()
    assert getattr(alert, "rolled_back", False)


def test_alerts_are_in_the_metrics(agent: Agent) -> None:
    watcher = Watcher(UsageStore())
    watcher.store.add([line()])
    alert = DriftAlert("2026-11-27T08:00:00+00:00", "sentiment", "", "", "length", 0.5, 0.2, 75, 99)
    watcher.store.warn(alert)
    with served(agent, watcher=watcher) as site:
        messages = [{"role": "user", "content": "/sentiment a good film"}]
        asked = {"model": "auto", "messages": messages}
        reply = httpx.post(f"{site.address}/v1/chat/completions", json=asked, timeout=30)
        assert reply.status_code == 200
        text = httpx.get(f"{site.address}/metrics").text
        assert 'patchbay_alerts{adapter="base",kind="drift",task="sentiment"} 1.0' in text
        assert 'patchbay_step_seconds_count{adapter="sentiment-en",task="sentiment"} 1.0' in text
        assert eventually(lambda: len(lines(watcher.store)) == 2)
        watcher.store.file.write_text("no database " * 100)
        assert httpx.get(f"{site.address}/metrics").status_code == 200


def test_the_events_pass_unchanged(agent: Agent) -> None:
    plain = list(agent.answer("/sentiment a good film", explain=False))
    watched(agent, Watcher(UsageStore()))
    seen = list(agent.answer("/sentiment a good film", explain=False))
    assert [type(event) for event in plain] == [type(event) for event in seen]
    assert sum(isinstance(event, StepFinished) for event in seen) == 1


def test_a_file_that_is_read_while_it_is_begun_loses_no_line(tmp_path: Path) -> None:
    for number in range(20):
        store, begin = UsageStore(tmp_path / f"{number}.sqlite"), threading.Barrier(2)

        def add(store: UsageStore = store, begin: threading.Barrier = begin) -> None:
            begin.wait()
            store.add([line()])

        with ThreadPoolExecutor(1) as threads:
            added = threads.submit(add)
            begin.wait()
            while not added.done():
                store.days()
        added.result()
        assert len(lines(store)) == 1
