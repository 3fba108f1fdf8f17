import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.feedback.store import Correction, Feedback, FeedbackError, Rating

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
    told = replace(LIKE, turn="t2", rating=-1, wrong="w", better="b")
    feedback.rate(told)
    assert feedback.ratings() == [LIKE, told]
    assert feedback.export()["ratings"][0]["at"] == "2026-01-01"


def test_an_earlier_version_s_copy_is_restored(feedback: Feedback, tmp_path: Path) -> None:
    feedback.rate(LIKE)
    [row] = feedback.export()["ratings"]
    del row["wrong"], row["better"]
    other = Feedback(tmp_path / "other.sqlite")
    other.restore({"ratings": [row]})
    assert other.ratings() == [LIKE]
