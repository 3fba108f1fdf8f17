from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reviewing import row

from tasks.spec import load_tasks
from workshop import similar
from workshop.out_of_sample import OutOfSample, out_of_sample
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore

LONG = "The waiter was friendly and the soup came hot, but the bread was a day old at least."
TASKS = load_tasks()
WORDS = {
    "positive": ("lovely", "warm", "delicious", "friendly", "charming"),
    "negative": ("awful", "cold", "rude", "stale", "dirty"),
}


def reviews(count: int, **fields: Any) -> list[ReviewRow]:
    """Reviews whose words say their label, of some raters."""
    rows = []
    for i in range(count):
        label = ("positive", "negative")[i % 2]
        first, second = WORDS[label][i // 2 % 5], WORDS[label][(i // 10 + i // 2 + 1) % 5]
        rows.append(
            row(f"r{i}", f"A {first} and {second} place, visit {i}", suggested=label, **fields)
        )
    return rows


def others(rows: list[ReviewRow]) -> OutOfSample:
    found = out_of_sample(rows)
    assert found
    return found


def test_near_duplicates_name_the_row_that_they_repeat() -> None:
    done = [row("done", LONG)]
    pending = [
        row("edited", LONG.replace("bread", "breads")), row("same", LONG.upper()),
        row("other", "Quite another text about a train that was late in the morning."),
        row("empty", "?!"),
        row("again", "Quite another text about a train that was late in the mornings"),
    ]  # fmt: skip
    assert similar.near_duplicates(pending, done) == {
        "edited": "done", "same": "done", "again": "other"
    }  # fmt: skip


def test_rows_of_an_evaluation_set_are_known_by_its_name() -> None:
    rows = [row("a", LONG.replace("bread", "breads")), row("b", "Something else.")]
    judged = {"one": ["A text."], "two": ["Another.", LONG]}
    assert similar.in_evaluation(rows, judged) == {"a": "two"}
    assert similar.in_evaluation(rows, {}) == {}


def test_a_label_that_the_words_speak_against_is_suspected() -> None:
    rows = reviews(60)
    rows[7] = rows[7].model_copy(update={"suggested": "positive"})
    rows[20] = rows[20].model_copy(update={"right": "negative"})
    assert similar.suspects(others(rows)) == {"r7": "negative", "r20": "positive"}


def test_what_is_too_little_to_say_anything_is_not_judged() -> None:
    assert out_of_sample([]) is None
    assert out_of_sample(reviews(8)) is None, "four of each"
    one = [r.model_copy(update={"suggested": "positive"}) for r in reviews(20)]
    assert out_of_sample(one) is None
    assert out_of_sample(reviews(60, rater="alone")) is None


def test_a_hostile_rater_is_found_and_the_others_are_not() -> None:
    swap = {"positive": "negative", "negative": "positive"}
    rows = []
    for i, one in enumerate(reviews(120)):
        rater = f"rater {i // 2 % 6}"
        label = swap[one.suggested] if rater == "rater 3" else one.suggested
        rows.append(one.model_copy(update={"rater": rater, "suggested": label}))
    first, *rest = similar.rater_agreement(others(rows))
    assert (first.rater, first.odd, first.rows) == ("rater 3", True, 20)
    assert first.against >= 15 > 5 > first.rest * 20
    assert len(rest) == 5
    assert not any(one.odd for one in rest)


def test_a_store_is_looked_over_and_only_marked(tmp_path: Path) -> None:
    store = ReviewStore(tmp_path / "review.sqlite")
    copy = row("copy", "A lovely and warm place, visit 0!", suggested="positive")
    rows = [*reviews(60), copy, row("judged", LONG, suggested="positive")]
    rows[3] = rows[3].model_copy(update={"suggested": "positive"})
    rows[4] = rows[4].model_copy(update={"held_out": True})
    near_held = row("near", rows[4].text + "!", suggested="positive")
    store.add([*rows, near_held])
    found = similar.look_over(store, TASKS["sentiment"], {"sst2": [LONG]})
    marks = store.marks([one.id for one in [*rows, near_held]])
    assert marks["copy"] == {"duplicate": "r0"}
    assert marks["judged"] == {"evaluation": "sst2"}
    assert marks["near"] == {"duplicate": "r4", "evaluation": "held-out rows"}
    assert marks["r3"] == {"suspect": "negative"}
    assert (found.duplicates, found.suspects, found.in_evaluation) == (
        len([1 for said in marks.values() if "duplicate" in said]),
        len([1 for said in marks.values() if "suspect" in said]),
        len([1 for said in marks.values() if "evaluation" in said]),
    )
    assert store.counts()["sentiment"]["pending"] == 63
    similar.look_over(store, TASKS["sentiment"])
    assert "judged" not in store.marks(["judged"]), "the set was not named again"


@pytest.mark.parametrize("task", ["translation", "summarization"])
def test_texts_that_were_written_have_no_labels_to_suspect(tmp_path: Path, task: str) -> None:
    store = ReviewStore(tmp_path / "review.sqlite")
    store.add([row(f"w{i}", f"{LONG} {i}", task=task, rater="r") for i in range(12)])
    found = similar.look_over(store, TASKS[task])
    assert (found.suspects, list(found.raters)) == (0, [])
