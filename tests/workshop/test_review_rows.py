from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
import reviewing
from reviewing import row

from core.errors import InputError, UnknownName
from core.paths import REPOSITORY
from tasks.spec import load_tasks
from workshop.review_file import ReviewError
from workshop.rows import InEvaluationSet, NoConsent, ReviewRow, ReviewStore


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    return ReviewStore(tmp_path / "workshop" / "review.sqlite")


def ids(rows: list[ReviewRow]) -> list[str]:
    return [one.id for one in rows]


def test_a_row_comes_back_as_it_was_given(store: ReviewStore) -> None:
    given = row(
        "r", "好的\n第二行 \U0001f600\x00", slots={"labels": ["a, b", "c"], "tone": "x"},
        labels={"c": 0.75, "a, b": 0.25}, answer="c", adapter="own", fingerprint="f", rater="me",
        at="2026-01-01T00:00:00.000+00:00", held_out=True,
    )  # fmt: skip
    assert store.add([given]) == 1
    assert store.get("r") == given
    assert list(store.get("r").labels) == ["c", "a, b"]


def test_collecting_twice_adds_nothing_and_takes_over_what_changed(store: ReviewStore) -> None:
    assert store.add([row("a", suggested=""), row("b")]) == 2
    assert store.add([row("a", suggested="positive"), row("b"), row("c")]) == 1
    assert store.get("a").suggested == "positive"


def test_a_decided_row_is_not_changed_by_collecting(store: ReviewStore) -> None:
    store.add([row("a", suggested="negative")])
    decided = store.decide("a", "positive", by="owner")
    store.add([row("a", suggested="other")])
    assert store.get("a") == decided


def test_a_row_stays_held_out(store: ReviewStore) -> None:
    store.add([row("a", held_out=True)])
    store.add([row("a", held_out=False)])
    assert store.get("a").held_out


def test_decisions_say_who_and_when_and_are_undone_one_by_one(store: ReviewStore) -> None:
    store.add([row("a"), row("b")])
    done = store.decide("a", " positive ", by="ann")
    assert (done.status, done.right, done.by) == ("done", "positive", "ann")
    assert done.decided_at.startswith("20")
    store.decline("b", by="ann")
    store.decide("b", "negative", by="bob")
    assert store.undo(by="bob") == "b"
    assert store.get("b").status == "declined"
    assert [store.undo(by="ann"), store.undo(by="ann"), store.undo(by="ann")] == ["b", "a", None]
    assert ids(store.pending()) == ["a", "b"]


def test_the_later_of_two_people_s_decisions_stands(store: ReviewStore) -> None:
    store.add([row("a")])
    store.decide("a", "negative", by="ann")
    store.decide("a", "positive", by="bob")
    store.undo(by="ann")
    assert store.get("a").right == "positive"


def test_rows_are_found_by_what_they_are(store: ReviewStore) -> None:
    store.add([
        row("a", "Große Suppe"), row("b", task="translation", why="corrected"),
        row("c", rater="x", answer="SOUP"), row("d"),
    ])  # fmt: skip
    assert ids(store.pending("sentiment")) == ["a", "c", "d"]
    assert ids(store.find("pending", limit=2)) == ["a", "b"]
    assert ids(store.find("pending", why="corrected")) == ["b"]
    assert ids(store.find("pending", rater="x")) == ["c"]
    assert ids(store.find("pending", containing="grosse s")) == ["a"]
    assert ids(store.find("pending", "sentiment", containing="soup")) == ["c", "d"]
    store.decide("d", "negative", by="o")
    store.decide("a", "negative", by="o")
    assert ids(store.done()) == ["a", "d"]
    assert store.counts() == {
        "sentiment": {"pending": 1, "done": 2, "declined": 0},
        "translation": {"pending": 1, "done": 0, "declined": 0},
    }


def test_rows_that_were_put_in_order_come_first(store: ReviewStore) -> None:
    store.add([row(name) for name in "abcd"])
    store.put_in_order("sentiment", ["d", "b"])
    assert ids(store.pending()) == ["d", "b", "a", "c"]
    store.put_in_order("sentiment", ["c"])
    assert ids(store.pending()) == ["c", "a", "b", "d"]


def test_nothing_is_accepted_without_consent(store: ReviewStore) -> None:
    store.add([row("a", consent=False)])
    with pytest.raises(NoConsent, match="has not agreed"):
        store.decide("a", "positive", by="owner")
    assert store.decline("a", by="owner").status == "declined"


def test_rows_of_an_evaluation_set_are_not_accepted_for_training(store: ReviewStore) -> None:
    store.add([row("a"), row("held", held_out=True)])
    store.mark("evaluation", {"a": "sst2.tsv", "held": "sst2.tsv"}, among=["a", "held"])
    with pytest.raises(InEvaluationSet, match=r"sst2\.tsv"):
        store.decide("a", "positive", by="owner")
    assert store.decide("held", "positive", by="owner").status == "done"


def test_bad_calls_say_what_is_wrong(store: ReviewStore) -> None:
    store.add([row("a")])
    with pytest.raises(UnknownName, match="no row to review named 'b'"):
        store.decide("b", "positive", by="owner")
    assert store.known(["a", "b"]) == {"a"}
    with pytest.raises(UnknownName):
        store.decline("b", by="owner")
    with pytest.raises(InputError, match="is empty"):
        store.decide("a", " \n", by="owner")
    assert store.get("a").status == "pending"


def test_marks_are_replaced_among_the_rows_that_were_looked_at(store: ReviewStore) -> None:
    store.add([row("a"), row("b")])
    store.mark("suspect", {"a": "positive", "b": "positive", "gone": "x"}, among=["a", "b"])
    store.mark("duplicate", {"a": "b"}, among=["a"])
    store.mark("suspect", {}, among=["a"])
    assert store.marks(["a", "b", "gone"]) == {
        "a": {"duplicate": "b"},
        "b": {"suspect": "positive"},
    }


def test_a_rater_is_left_out_as_a_whole_and_taken_in_again(store: ReviewStore) -> None:
    store.add([row("a", rater="hostile"), row("b", rater="fair"), row("c", rater="hostile")])
    store.decide("c", "positive", by="owner")
    store.leave_out("hostile")
    assert (ids(store.pending()), store.done()) == (["b"], [])
    assert ids(store.find("pending", rater="hostile")) == ["a"], "who asks for them sees them"
    assert store.left_out() == ["hostile"]
    store.leave_out("hostile", out=False)
    assert ids(store.done()) == ["c"]


def test_a_rater_s_rows_are_reviewed_again_without_what_the_rater_said(store: ReviewStore) -> None:
    given = row("a", rater="odd", answer="negative", suggested="positive")
    store.add([given, row("b", rater="odd"), row("c", rater="fair")])
    store.decide("a", "positive", by="owner")
    store.decide("c", "positive", by="owner")
    store.mark("rater", {"a": "2 of 2", "b": "2 of 2"}, among=["a", "b", "c"])
    assert store.odd_raters("sentiment") == {"odd": "2 of 2"}
    store.leave_out("odd")
    assert (store.odd_raters(), store.left_out()) == ({}, ["odd"])
    assert store.review_again("odd", by="owner") == 2
    assert (store.odd_raters(), store.left_out(), ids(store.done())) == ({}, [], ["c"])
    assert [(one.id, one.suggested, one.right) for one in store.pending()] == [
        ("a", "negative", ""), ("b", "", ""),
    ]  # fmt: skip
    store.add([given])  # collected again
    assert store.get("a").suggested == "negative"
    assert store.undo(by="owner") == "c", "what waits again was no decision of a row's answer"
    store.decide("a", "negative", by="owner")
    assert store.undo(by="owner") == "a"
    assert store.get("a").status == "pending"


def test_rows_without_a_rater_are_not_of_one_rater(store: ReviewStore) -> None:
    store.add([row("a"), row("b", rater="fair")])
    store.decide("a", "positive", by="owner")
    for act in (store.leave_out, lambda rater: store.review_again(rater, by="owner")):
        with pytest.raises(InputError, match="Name the rater"):
            act("")
    assert (ids(store.done()), store.left_out()) == (["a"], [])


def test_taking_consent_back_deletes_the_words_and_names_the_adapters(store: ReviewStore) -> None:
    secret = "a secret that nobody else knows"
    store.add(
        [row("a", secret, rater="r", answer=secret), row("b", rater="r"), row("c", rater="s")]
    )
    store.decide("a", secret, by="owner")
    store.mark("duplicate", {"a": secret}, among=["a"])
    store.mark_used(["a", "c"], "mine-1", "f1")
    store.mark_used(["c"], "mine-2", "f2")
    assert store.withdraw("r") == ["mine-1"]
    assert ids(store.pending()) == ["c"]
    before = row("a", rater="r", at="2026-01-01T00:00:00.000+00:00")
    assert store.add([before]) == 0, "it does not come back"
    assert store.used("mine-1") == ["a", "c"]
    for file in store.file.parent.iterdir():
        assert secret.encode() not in file.read_bytes(), file.name
    assert store.withdraw(ids=["c"]) == ["mine-1", "mine-2"]


def test_what_an_adapter_was_trained_on_is_known_by_its_fingerprint(store: ReviewStore) -> None:
    store.add([row("a"), row("b")])
    store.mark_used(["a"], "mine", "f1")
    store.mark_used(["a", "b"], "mine", "f2")
    assert store.used("mine") == ["a", "b"]
    assert store.used("mine", "f1") == ["a"]


def test_choices_are_the_task_s_or_the_row_s_own(store: ReviewStore) -> None:
    tasks = load_tasks()
    known = row("a", labels={"negative": 0.1, "positive": 0.9})
    assert known.choices(tasks["sentiment"])[0] == "positive"
    own = row(
        "b", task="classification", slots={"labels": ["bug", "praise"]}, labels={"praise": 0.6}
    )
    assert own.choices(tasks["classification"]) == ["praise", "bug"]
    assert row("c", task="summarization").choices(tasks["summarization"]) == []


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    damaged = tmp_path / "review.sqlite"
    damaged.write_bytes(b"not a database" * 100)
    with pytest.raises(ReviewError, match=r"review\.sqlite"):
        ReviewStore(damaged).pending()


def _add_and_decide(file: Path, name: str) -> None:
    store = ReviewStore(file)
    for number in range(20):
        store.add([row(f"{name}-{number}")])
        store.decide(f"{name}-{number}", "negative", by=name)
        store.undo(by=name)
        store.decide(f"{name}-{number}", "positive", by=name)


@pytest.mark.slow
def test_threads_and_processes_that_begin_at_once_lose_nothing(store: ReviewStore) -> None:
    names = [f"p{number}" for number in range(4)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(_add_and_decide, [store.file] * 4, names))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(_add_and_decide, [store.file] * 4, [f"t{name}" for name in names]))
    assert len(store.done()) == 8 * 20
    assert {one.right for one in store.done()} == {"positive"}


@pytest.mark.slow
def test_nothing_is_lost_by_kill_9_at_random_moments(store: ReviewStore) -> None:
    """What a call returned for is there; of a call that was cut off, all or nothing is."""
    rng = random.Random(20)
    program = [sys.executable, reviewing.__file__, str(store.file)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    said: list[list[str]] = []
    for moment in range(50):
        killed = subprocess.Popen(
            [*program, f"k{moment}"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert killed.stdout
        said.append(killed.stdout.readline().split())
        time.sleep(rng.random() * 0.1)
        killed.send_signal(signal.SIGKILL)
        said += [line.split() for line in killed.stdout if line.endswith("\n")]
        killed.wait()
        killed.stdout.close()
    there = {one.id: one for one in [*store.pending(), *store.done()]}
    last_said = {id: what for what, id in said}
    assert len(last_said) > 50
    for id, what in last_said.items():
        number = int(id.split("-")[1])
        assert f"{id}-beside" in there
        if what == "undone":
            assert there[id].status == "pending"
        elif what == "decided" and number % 5 != 4:  # else undoing may have begun
            assert there[id].right == f"negative {number}"
    assert all(f"{id}-beside" in there for id in there if not id.endswith("-beside"))
    with closing(sqlite3.connect(store.file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
