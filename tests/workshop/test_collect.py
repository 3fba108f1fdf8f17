from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.batch.journal import SUFFIX
from agent.feedback.answered_step import AnsweredStep
from agent.feedback.store import Correction, Feedback, LabelledText, Rating
from core.errors import InputError
from core.paths import REPOSITORY
from tasks.spec import load_tasks
from workshop import collect
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore

TASKS = load_tasks()
LABELS = {"positive": 0.5, "neutral": 0.3, "negative": 0.2}
JUDGED = AnsweredStep(task="sentiment", content="Cold soup.", answer="positive", labels=LABELS)
WRITTEN = AnsweredStep(
    task="translation", content="Hello", answer="Salut", adapter="mine",
    slots={"source": "en", "target": "fr"}, fingerprints={"base": "b"},
)  # fmt: skip


@pytest.fixture
def feedback(tmp_path: Path) -> Feedback:
    return Feedback(tmp_path / "feedback.sqlite")


def disliked(feedback: Feedback, turn: str, *steps: AnsweredStep, **more: Any) -> None:
    tasks = [step.task for step in steps]
    feedback.rate(Rating(turn, -1, f"request {turn}", steps[-1].answer, tasks, {}, **more))
    feedback.agree(turn, steps, "me")


def rows(feedback: Feedback) -> dict[str, ReviewRow]:
    return {row.id: row for row in collect.of_feedback(feedback, TASKS).rows}


def test_a_better_answer_is_prefilled_with_what_the_step_worked_on(feedback: Feedback) -> None:
    disliked(feedback, "t", WRITTEN, better="Bonjour")
    row = rows(feedback)["rating:t:0"]
    assert (row.task, row.text, row.answer, row.suggested, row.why) == (
        "translation", "Hello", "Salut", "Bonjour", "corrected"
    )  # fmt: skip
    assert (row.slots, row.adapter, row.rater, row.consent) == (WRITTEN.slots, "mine", "me", True)
    assert row.at == feedback.ratings()[0].at


def test_labels_are_suggested_by_their_names_or_by_likelihood(feedback: Feedback) -> None:
    disliked(feedback, "named", JUDGED, better=" Negative")
    disliked(feedback, "else", JUDGED, better="it is sarcastic")
    disliked(feedback, "unsaid", JUDGED)
    suggested = {id.split(":")[1]: row.suggested for id, row in rows(feedback).items()}
    assert suggested == {"named": "negative", "else": "neutral", "unsaid": "neutral"}


def test_each_step_is_a_row_and_the_better_answer_is_the_last_one_s(feedback: Feedback) -> None:
    disliked(feedback, "t", WRITTEN, JUDGED, better="negative")
    found = rows(feedback)
    assert [(id, row.suggested) for id, row in found.items()] == [
        ("rating:t:0", ""), ("rating:t:1", "negative")
    ]  # fmt: skip


def test_without_consent_there_is_the_request_to_look_at(feedback: Feedback) -> None:
    feedback.rate(Rating("t", -1, "Translate: Hello", "Salut", ["translation"], {}, better="B"))
    [row] = rows(feedback).values()
    assert (row.text, row.answer, row.consent) == ("Translate: Hello", "Salut", False)
    store = ReviewStore()
    assert store.add([row]) == 1
    feedback.agree("t", [WRITTEN], "me")
    assert store.add(rows(feedback).values()) == 0
    assert store.get(row.id).text == "Hello", "the same row, now with what was worked on"


def test_what_was_withdrawn_comes_back_only_when_it_is_agreed_to_again(
    feedback: Feedback,
) -> None:
    disliked(feedback, "t", WRITTEN)
    store = ReviewStore()
    store.add(rows(feedback).values())
    store.withdraw("me")
    assert store.add(rows(feedback).values()) == 0, "the feedback file has not been told yet"
    feedback.withdraw("me")
    assert store.add(rows(feedback).values()) == 0
    feedback.agree("t", [WRITTEN], "me")
    assert store.add(rows(feedback).values()) == 1


def test_liked_answers_are_rows_and_a_quarter_of_the_rated_ones_is_held_out(
    feedback: Feedback,
) -> None:
    for number in range(200):
        rating = Rating(f"t{number}", (1, -1)[number % 2], "request", "answer", ["translation"], {})
        feedback.rate(rating)
        feedback.agree(f"t{number}", [WRITTEN], "me")
    found = list(rows(feedback).values())
    assert {row.why for row in found} == {"liked", "disliked"}
    assert {row.suggested for row in found if row.why == "liked"} == {WRITTEN.answer}
    held = [row.why for row in found if row.held_out]
    assert 25 < len(held) < 75
    assert 10 < held.count("liked") < 40
    assert [row.id for row in rows(feedback).values() if row.held_out] == [
        row.id for row in found if row.held_out
    ]


def test_what_cannot_be_a_row_is_counted(feedback: Feedback) -> None:
    feedback.rate(Rating("like", 1, "request", "answer", ["translation"], {}))
    disliked(feedback, "t", replace_step(content=""), replace_step(alone=False))
    disliked(feedback, "gone", replace_step(task="gone"))
    found = collect.of_feedback(feedback, TASKS)
    assert found.rows == []
    assert found.passed_over == {
        "what the step worked on is not known": 1,
        "it was answered out of the conversation before": 1,
        "the task is not there any more": 1,
    }


def replace_step(**changes: Any) -> AnsweredStep:
    return WRITTEN.model_copy(update=changes)


def test_a_route_that_was_chosen_anew(feedback: Feedback) -> None:
    correction = Correction("t", "Cold soup.", ["sentiment"], ["generation"], 0.6, [], {})
    feedback.correct(correction)
    assert rows(feedback)["route:t:0"].consent is False
    feedback.agree("new", [JUDGED], "me", corrects="t")
    row = rows(feedback)["route:t:0"]
    assert (row.why, row.suggested, row.labels) == ("rerouted", "positive", LABELS)


def test_a_label_that_was_corrected_in_a_table(feedback: Feedback) -> None:
    own = {"labels": ["bug", "praise"]}
    feedback.label(LabelledText("a1-7", "classification", "It fails.", "bug", "praise", "f", own))
    [row] = rows(feedback).values()
    assert (row.suggested, row.consent, row.slots) == ("bug", True, own)
    assert "a1" not in row.rater, "who knows a table's name can open it"
    assert row.rater


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table that the real command has worked on, without a model."""
    folder = tmp_path_factory.mktemp("table")
    file, output = folder / "reviews.csv", folder / "out.csv"
    lines = [f"{word} meal number {i}\n" for i in range(60) for word in ("positive", "plain")]
    file.write_text("review\n" + "".join(lines))
    words = ["batch", str(file), "--task", "sentiment", "--column", "review"]
    subprocess.run(
        [sys.executable, "-m", "agent", *words, "--output", str(output), "--engine", "fake"],
        cwd=REPOSITORY, check=True, capture_output=True,
    )  # fmt: skip
    return file, output.with_name(output.name + SUFFIX)


def test_a_table_gives_its_unsure_rows_and_a_random_share(worked_on: tuple[Path, Path]) -> None:
    found = collect.of_table(*worked_on, TASKS["sentiment"], consent=True)
    again = collect.of_table(*worked_on, TASKS["sentiment"], consent=True)
    held_out = {row.id for row in found.rows if row.held_out}
    assert held_out == {row.id for row in again.rows if row.held_out}
    assert 4 <= len(held_out) <= 24
    for row in found.rows:
        assert row.why == ("random" if row.held_out else "unsure")
        assert row.suggested == row.answer == next(iter(row.labels))
        assert row.held_out or max(row.labels.values()) < TASKS["sentiment"].floors["probability"]
    assert len(found.rows) + found.passed_over["the answer is sure"] == 120
    everything = collect.of_table(*worked_on, TASKS["sentiment"], share=1)
    assert len(everything.rows) == 120
    assert not everything.rows[0].consent


def test_another_table_than_was_worked_on_is_refused(
    worked_on: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "reviews.csv"
    other.write_text("review\nelse\n")
    with pytest.raises(InputError, match="not the table of"):
        collect.of_table(other, worked_on[1], TASKS["sentiment"])
    with pytest.raises(InputError, match="does not exist"):
        collect.of_table(worked_on[0], tmp_path / "no.journal", TASKS["sentiment"])
    with pytest.raises(InputError, match="of the task 'sentiment', not of 'classification'"):
        collect.of_table(*worked_on, TASKS["classification"])
