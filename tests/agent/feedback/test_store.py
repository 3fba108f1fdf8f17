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
