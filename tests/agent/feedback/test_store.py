import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.feedback.answered_step import AnsweredStep
from agent.feedback.store import Correction, Feedback, FeedbackError, LabelledText, Rating

LIKE = Rating("t1", 1, "好的", "answer", ["translation"], {"base": "b"})
WRONG = Correction("t1", "text", ["summarization"], ["generation"], 0.6, [], {"base": "b"})


@pytest.fixture
def feedback(tmp_path: Path) -> Feedback:
    return Feedback(tmp_path / "new" / "feedback.sqlite")


def test_ratings_come_back_as_given(feedback: Feedback) -> None:
    feedback.rate(LIKE)
    assert feedback.ratings() == [LIKE]


def test_rating_again_replaces_and_zero_forgets(feedback: Feedback) -> None:
    feedback.rate(LIKE)
    feedback.rate(replace(LIKE, rating=-1))
    assert [row.rating for row in feedback.ratings()] == [-1]
    feedback.rate(replace(LIKE, rating=0))
    assert feedback.ratings() == []


def test_second_correction_keeps_what_the_router_had_chosen(feedback: Feedback) -> None:
    feedback.correct(WRONG)
    feedback.correct(replace(WRONG, tasks=["sentiment"], instead_of=["summarization"]))
    assert feedback.corrections() == [replace(WRONG, tasks=["sentiment"])]


def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(FeedbackError, match="cannot be kept"):
        Feedback(blocked / "feedback.sqlite").rate(LIKE)


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    damaged = tmp_path / "feedback.sqlite"
    damaged.write_bytes(b"not a database" * 100)
    with pytest.raises(FeedbackError, match=r"feedback\.sqlite"):
        Feedback(damaged).ratings()


def test_what_was_wrong_and_a_better_answer_come_back(feedback: Feedback) -> None:
    told = replace(LIKE, rating=-1, wrong="not French", better="« Bonjour »\nà tous")
    feedback.rate(told)
    assert feedback.ratings() == [told]


def test_ratings_of_an_earlier_version_are_kept(feedback: Feedback, tmp_path: Path) -> None:
    feedback.file.parent.mkdir()
    columns = "turn TEXT PRIMARY KEY, at TEXT NOT NULL, rating INTEGER NOT NULL, "
    columns += "request TEXT NOT NULL, answer TEXT NOT NULL, tasks TEXT NOT NULL, "
    with closing(sqlite3.connect(feedback.file)) as db, db:
        db.execute(f"CREATE TABLE ratings ({columns} fingerprints TEXT NOT NULL)")
        row = ("t1", "2026-01-01", 1, "好的", "answer", '["translation"]', '{"base": "b"}')
        db.execute("INSERT INTO ratings VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        columns = "turn TEXT PRIMARY KEY, at TEXT NOT NULL, task TEXT NOT NULL, text TEXT NOT NULL"
        columns += ", label TEXT NOT NULL, instead_of TEXT NOT NULL, fingerprint TEXT NOT NULL"
        db.execute(f"CREATE TABLE labels ({columns})")
        db.execute("INSERT INTO labels VALUES ('t-1', '2026-01-01', 'c', 'text', 'a', 'b', 'f')")
    told = replace(LIKE, turn="t2", rating=-1, wrong="w", better="b")
    feedback.rate(told)
    assert feedback.ratings() == [LIKE, told]
    assert feedback.labelled() == [LabelledText("t-1", "c", "text", "a", "b", "f")]
    assert feedback.export()["ratings"][0]["at"] == "2026-01-01"


def test_an_earlier_version_s_copy_is_restored(feedback: Feedback, tmp_path: Path) -> None:
    feedback.rate(LIKE)
    [row] = feedback.export()["ratings"]
    del row["wrong"], row["better"]
    other = Feedback(tmp_path / "other.sqlite")
    other.restore({"ratings": [row]})
    assert other.ratings() == [LIKE]


STEPS = (
    AnsweredStep(task="translation", content="hello", answer="bonjour", slots={"target": "fr"}),
    AnsweredStep(task="sentiment", content="bonjour", answer="b", labels={"b": 0.7, "a": 0.3}),
)


def test_steps_are_kept_once_the_rater_agrees_and_go_when_that_is_taken_back(
    feedback: Feedback,
) -> None:
    feedback.rate(LIKE)
    feedback.correct(WRONG)
    feedback.agree("t1", STEPS, "me", corrects="t1")
    agreed = replace(LIKE, steps=STEPS, rater="me", consent=True)
    assert feedback.ratings() == [agreed]
    assert feedback.corrections() == [replace(WRONG, steps=STEPS, rater="me", consent=True)]
    feedback.withdraw("another")
    assert feedback.ratings() == [agreed]
    feedback.withdraw("me")
    assert feedback.ratings() == [replace(LIKE, rater="me")]
    assert feedback.corrections() == [replace(WRONG, rater="me")]


def test_agreeing_to_a_rating_says_nothing_of_a_route_of_the_same_turn(feedback: Feedback) -> None:
    feedback.rate(LIKE)
    feedback.correct(WRONG)
    feedback.agree("t1", STEPS, "me")
    assert feedback.corrections() == [WRONG]


def test_a_label_keeps_the_list_it_was_chosen_from(feedback: Feedback) -> None:
    labelled = LabelledText("t-1", "classification", "text", "a", "b", "f", {"labels": ["a", "b"]})
    feedback.label(labelled)
    feedback.label(labelled)
    assert feedback.labelled() == [labelled]


def test_steps_and_consent_outlast_the_disk(feedback: Feedback, tmp_path: Path) -> None:
    feedback.rate(LIKE)
    feedback.correct(WRONG)
    feedback.agree("t1", STEPS, "me", corrects="t1")
    feedback.label(LabelledText("t-1", "c", "text", "a", "b", "f", {"labels": ["a", "b"]}))
    other = Feedback(tmp_path / "other.sqlite")
    other.restore(json.loads(json.dumps(feedback.export())))
    assert other.export() == feedback.export()
    assert other.ratings()[0].steps == STEPS


def test_a_copy_by_a_version_that_knew_no_consent_has_none(
    feedback: Feedback, tmp_path: Path
) -> None:
    feedback.rate(LIKE)
    feedback.correct(WRONG)
    feedback.label(LabelledText("t-1", "c", "text", "a", "b", "f"))
    exported = feedback.export()
    for row in (row for rows in exported.values() for row in rows):
        for name in ("steps", "rater", "consent", "slots"):
            row.pop(name, None)
    other = Feedback(tmp_path / "other.sqlite")
    other.restore(exported)
    assert (other.ratings(), other.corrections()) == ([LIKE], [WRONG])
    assert other.labelled() == feedback.labelled()
