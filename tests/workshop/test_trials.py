"""Trials: ratings of two adapters held against each other, as they come."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapter_store.promotions import PromotionEvent, Promotions
from agent.feedback.store import Feedback, Rating
from core.errors import PatchbayError
from workshop import trials
from workshop.job_commands import app
from workshop.promoting import read_share

PRINTS = {"new": "f2", "old": "f1"}
EVIDENCE = {"before": "old", "fingerprints": {"before": {"adapter": "f1"}}}


@pytest.fixture
def trial(home: Path) -> PromotionEvent:
    Promotions().promote("sentiment", "old", "f1", {})
    return Promotions().promote("sentiment", "new", "f2", EVIDENCE, share=0.2)


def rating(number: int, by: str, liked: bool, at: str = "9", task: str = "sentiment") -> Rating:
    return Rating(
        turn=f"t{number}", rating=1 if liked else -1, request="", answer="", tasks=[task],
        fingerprints={"base": "b", "adapter": PRINTS[by]}, at=at,
    )  # fmt: skip


def test_ratings_since_it_began_are_counted_of_both(trial: PromotionEvent) -> None:
    feedback = Feedback()
    feedback.rate(rating(0, "new", liked=True, task="translation"))
    feedback.rate(rating(1, "new", liked=True))
    feedback.rate(rating(2, "old", liked=False))
    feedback.rate(rating(3, "old", liked=True))
    feedback.rate(rating(1, "new", liked=False))  # the same turn: it replaces the first
    (found,) = trials.trials(feedback)
    assert (found.new.liked, found.new.rated) == (0, 1)
    assert (found.old.adapter, found.old.liked, found.old.rated) == ("old", 1, 2)
    assert found.evidence.answer == "not enough evidence"
    result = CliRunner().invoke(app, ["trials"])
    assert result.stdout.startswith(
        "sentiment  20%  new liked 0 of 1, old liked 1 of 2: not enough evidence\n"
    )
    earlier = [rating(n, "new", liked=True, at="2000") for n in range(100)]
    assert trials.trial_of(trial, earlier).new.rated == 0
    Promotions().rollback("sentiment")
    assert trials.trials(feedback) == []


def answer(trial: PromotionEvent, new: float, old: float, pairs: int, seed: int) -> str:
    """What is said after pairs of ratings that are likes with these chances."""
    drawn = random.Random(seed)
    ratings = [
        rating(n, by, drawn.random() < chance)
        for n in range(pairs)
        for by, chance in (("new", new), ("old", old))
    ]
    return trials.trial_of(trial, ratings).evidence.answer


def test_how_many_more_would_tell_is_said_once_it_can_be_foreseen(trial: PromotionEvent) -> None:
    ratings = [
        rating(n, by, liked)
        for n in range(20)
        for by, liked in (("new", n % 4 > 0), ("old", n % 4 == 1))
    ]
    assert trials.trial_of(trial, ratings[:8]).more_ratings == 0
    found = trials.trial_of(trial, ratings[:24])
    assert found.evidence.answer == "not enough evidence"
    assert 1 < found.more_ratings < 100


def test_the_ratings_decide(trial: PromotionEvent) -> None:
    assert [answer(trial, 0.9, 0.6, 150, seed) for seed in range(5)] == ["better"] * 5
    assert [answer(trial, 0.5, 0.8, 150, seed) for seed in range(5)] == ["not better"] * 5
    assert answer(trial, 0.8, 0.8, 40, 1) == "not enough evidence"


def test_the_base_is_the_other_side_where_no_adapter_was_in_place(home: Path) -> None:
    evidence = {"before": "base", "fingerprints": {"before": {"base": "b"}}}
    event = Promotions().promote("sentiment", "new", "f2", evidence, share=0.5)
    bare = Rating("t", 1, "", "", ["sentiment"], {"base": "b", "task": "x"}, at="9")
    found = trials.trial_of(event, [bare, rating(1, "old", liked=True)])
    assert (found.old.adapter, found.old.rated) == ("base", 1)


@pytest.mark.parametrize("text", ["", "0", "-0.1", "1", "a fifth", "nan"])
def test_what_is_no_share_is_named(text: str) -> None:
    assert read_share("0.2") == 0.2
    with pytest.raises(PatchbayError, match="is no share of the conversations"):
        read_share(text)
