"""The watch from a line to an alert: references, drift, accuracy, rollback; and the summary."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from reviewing import row
from usage_lines import drawn, line

from adapter_store.promotions import Promotions
from agent.feedback.store import Feedback, Rating
from core import terminal
from workshop import accuracy, drift
from workshop.alerts import AccuracyAlert, DriftAlert
from workshop.rows import ReviewStore
from workshop.usage import UsageError, UsageStore
from workshop.watch import Watcher
from workshop.watch_commands import app

JUDGED = {"watch": {"bound": 0.7, "gap": 0.0, "deviation": 0.35, "rows": 2000}}


@dataclass
class Row:
    answer: str
    labels: dict[str, float]
    right: str
    fingerprint: str = "abc"
    held_out: bool = True


def feed(watcher: Watcher, count: int, seed: int = 0, **shift: float) -> None:
    lines = list(drawn(np.random.default_rng(seed), count, **shift))
    for begin in range(0, count, 25):
        watcher.store.add(lines[begin : begin + 25])
        watcher.after(lines[begin : begin + 25])


def test_answers_like_the_first_ones_raise_nothing(home: Path) -> None:
    watcher = Watcher(UsageStore())
    feed(watcher, 1200)
    assert watcher.store.alerts() == {}
    (watched,) = watcher.summary().watched
    assert watched.reference == drift.REFERENCE
    assert {one.feature for one in watched.drift} == {
        "length", "word_length", "letters", "route", "confidence",
    }  # fmt: skip


def test_drift_is_told_once_and_settled(home: Path) -> None:
    watcher = Watcher(UsageStore())
    feed(watcher, 700)
    feed(watcher, 300, seed=1, length=1.0)
    ((number, alert),) = watcher.store.alerts().items()
    assert isinstance(alert, DriftAlert)
    assert (alert.task, alert.adapter, alert.feature) == ("sentiment", "mine", "length")
    assert alert.distance > alert.bound
    feed(watcher, 200, seed=2, length=1.0)
    assert list(watcher.store.alerts()) == [number]
    watcher.store.settle(number)
    feed(watcher, 1000, seed=3, length=1.0)
    assert watcher.store.alerts() == {}
    with pytest.raises(UsageError, match=f"no open alert {number}"):
        watcher.store.settle(number)


def test_training_rows_are_a_reference_from_the_first_answer_on(home: Path) -> None:
    watcher = Watcher(UsageStore())
    watcher.learn_reference("sentiment", "abc", [f"a good film {'very ' * n}" for n in range(200)])
    feed(watcher, 100, length=4.0)
    assert "length" in {one.feature for one in watcher.store.alerts().values()}


def test_accuracy_under_what_was_replaced_is_told_and_rolled_back_on_wish(home: Path) -> None:
    promotions = Promotions()
    promotions.promote("sentiment", "older", "old", {})
    promotions.promote("sentiment", "mine", "abc", JUDGED)
    careful = Watcher(UsageStore())
    feed(careful, 325, confidence=-4.0)
    (alert,) = careful.store.alerts().values()
    assert isinstance(alert, AccuracyAlert)
    assert alert.high < alert.bound == 0.7
    assert not alert.rolled_back
    assert [e.adapter for e in promotions.current("sentiment")] == ["mine", "older"]
    careful.store.settle(next(iter(careful.store.alerts())))
    bold = Watcher(UsageStore(), roll_back=True)
    feed(bold, 325, confidence=-4.0)
    (alert,) = bold.store.alerts().values()
    assert isinstance(alert, AccuracyAlert)
    assert alert.rolled_back
    assert [e.adapter for e in promotions.current("sentiment")] == ["older"]
    last = promotions.history()[-1]
    assert last.evidence["by"] == "the watch"
    assert "accuracy is estimated at" in last.evidence["why"]
    feed(bold, 325, confidence=-4.0)  # of what is no longer in use: nothing more is undone
    assert [e.adapter for e in promotions.current("sentiment")] == ["older"]


def test_a_good_adapter_and_one_that_was_not_judged_stay(home: Path) -> None:
    promotions = Promotions()
    promotions.promote("sentiment", "mine", "abc", JUDGED)
    watcher = Watcher(UsageStore(), roll_back=True)
    feed(watcher, 1000)
    assert watcher.store.alerts() == {}
    promotions.promote("sentiment", "mine", "abc", {"forced": "to see"})
    feed(watcher, 325, confidence=-4.0)
    assert not any(isinstance(one, AccuracyAlert) for one in watcher.store.alerts().values())
    assert len(promotions.current("sentiment")) == 2


def test_reviewed_rows_correct_the_estimate(home: Path) -> None:
    wrong = [Row("a", {"a": 0.8, "b": 0.2}, "b" if i % 2 else "a") for i in range(40)]
    kept_out = [Row("a", {"a": 0.8}, "b", held_out=False)] * 100
    strangers = [Row("a", {"a": 0.8}, "b", fingerprint="other")] * 100
    rows = {"sentiment": [*wrong, *kept_out, *strangers]}
    watcher = Watcher(UsageStore(), reviewed=lambda task: rows.get(task, []))
    feed(watcher, 300)
    (watched,) = watcher.summary().watched
    assert watched.accuracy is not None
    assert (watched.accuracy.source, watched.accuracy.labelled) == ("reviewed rows", 40)
    assert watched.accuracy.value == pytest.approx(0.5, abs=0.03)
    assert watched.accuracy.answers == accuracy.WINDOW


def test_days_ratings_and_languages_are_summed(home: Path) -> None:
    store, feedback = UsageStore(), Feedback()
    store.add([line(), line(tokens=5, first_token=0.3), line(language="zh")])
    store.add([line(at="2026-11-26T23:00:00+00:00", task="generation", adapter="",
                    fingerprint="", choice=False, confidence=None, route=None)])  # fmt: skip
    for turn, rating in (("one", 1), ("two", -1), ("three", -1)):
        feedback.rate(Rating(turn, rating, "words", "more", ["sentiment"], {"adapter": "abc"}))
    summary = Watcher(store, feedback=feedback).summary()
    assert [(d.day, d.task, d.language, d.answers, d.tokens) for d in summary.days] == [
        ("2026-11-27", "sentiment", "en", 2, 8),
        ("2026-11-27", "sentiment", "zh", 1, 3),
        ("2026-11-26", "generation", "en", 1, 3),
    ]
    assert summary.days[0].first_token == pytest.approx(0.2)
    assert [(r.task, r.fingerprint, r.liked, r.disliked) for r in summary.ratings] == [
        ("sentiment", "abc", 1, 2)
    ]
    assert [w.stream.adapter for w in summary.watched] == ["mine", ""]
    assert [d.day for d in Watcher(store).summary("2026-11-27").days] == ["2026-11-27"] * 2


def test_looking_at_the_summary_spends_nothing(home: Path) -> None:
    watcher = Watcher(UsageStore())
    feed(watcher, 100)
    before = watcher.store.streams()
    watcher.summary()
    assert watcher.store.streams() == before
    assert before[0].looks == 4


def test_a_damaged_file_gets_a_sentence(home: Path) -> None:
    store = UsageStore()
    store.add([line()])
    store.file.write_text("no database " * 100)
    with pytest.raises(UsageError, match=r"usage.sqlite: file is not a database"):
        store.add([line()])


def test_no_words_are_kept(home: Path) -> None:
    store = UsageStore()
    store.add([line()])
    with sqlite3.connect(store.file) as db:
        texts = [kind for _, name, kind, *_ in db.execute("PRAGMA table_info(lines)")
                 if kind == "TEXT" and name not in {"at", "task", "language", "adapter",
                                                    "fingerprint"}]  # fmt: skip
    assert texts == []


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["workshop", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


def test_the_watch_in_a_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert command(monkeypatch, "watch") == 0
    assert capsys.readouterr().out == "Nothing was answered yet.\n"
    Promotions().promote("sentiment", "mine", "abc", JUDGED)
    watcher = Watcher(UsageStore(), roll_back=True)
    feed(watcher, 700)
    feed(watcher, 325, seed=1, length=1.0, confidence=-4.0)
    assert command(monkeypatch, "watch") == 0
    said = capsys.readouterr().out
    assert "length of the last" in said
    assert "and 0.700 was replaced. The promotion was undone." in said
    assert "accuracy about 0." in said
    assert "by confidence alone" in said, "it is promoted no more"
    assert "1,025 answers" in said
    assert command(monkeypatch, "watch", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"days", "ratings", "watched", "alerts"} == set(found)
    store, labels = ReviewStore(), {"positive": 0.8, "negative": 0.2}
    answered = {"answer": "positive", "labels": labels, "fingerprint": "abc", "held_out": True}
    store.add(row(f"r{n}", **answered) for n in range(accuracy.LEAST_REVIEWED))
    for n in range(accuracy.LEAST_REVIEWED):
        store.decide(f"r{n}", ("positive", "negative")[n % 2], by="me")
    assert command(monkeypatch, "watch") == 0
    assert "by reviewed rows" in capsys.readouterr().out
    for number in found["alerts"]:
        assert command(monkeypatch, "settle", number) == 0
    assert command(monkeypatch, "settle", 99) == 1
    assert "no open alert 99" in capsys.readouterr().err
