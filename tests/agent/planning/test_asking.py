"""What is missing is asked for, and nothing is invented in its place."""

from __future__ import annotations

import copy

import pytest

from agent.planning.planner import Planner
from tasks.spec import Message


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("/summarize", "text"),
        ("Summarize this", "text"),
        ("Summarize: ok", "text"),
        ("Summarize: https://example.com/article/123", "link"),
        ("Summarize the PDF I uploaded", "text"),
        ("/translate fr", "text"),
        ("/sentiment", "text"),
        ("/classify", "text"),
        ("Is this positive?", "text"),
        ("Translate into French:", "text"),
        ("Translate into French", "text"),
        ("say in German", "text"),
        ("Translate this into Frensh: good morning", "language"),
        ("Translate into French or German: good morning everyone", "language"),
        ("/help", "help"),
    ],
)
def test_it_is_asked_back(planner: Planner, text: str, about: str) -> None:
    question = planner.plan(text).question
    assert question is not None
    assert question.about == about


def test_a_misspelt_language_gets_a_suggestion(planner: Planner) -> None:
    question = planner.plan("Translate this into Frensh: good morning").question
    assert question is not None
    assert "Did you mean French" in question.message


def test_help_lists_every_command(planner: Planner) -> None:
    question = planner.plan("/help").question
    assert question is not None
    assert all(f"/{name}" in question.message for name in ("translate", "tldr", "sentiment"))


@pytest.mark.parametrize(
    "text",
    [
        "Is this positive? I love it",
        "Why is the sky blue?",
        'How do you say "cat" in French?',
    ],
)
def test_what_can_be_answered_is_not_asked(planner: Planner, text: str) -> None:
    assert planner.plan(text).question is None


@pytest.mark.parametrize(
    ("text", "word", "language"),
    [
        ("How do you say cat in French?", "cat", "fr"),
        ("translate dog to german", "dog", "de"),
        ("what is apple in chinese", "apple", "zh"),
        ("good morning in Spanish", "good morning", "es"),
        ("苹果用英语怎么说", "苹果", "en"),
    ],
)
def test_a_bare_word_can_be_asked_for_in_another_language(
    planner: Planner, text: str, word: str, language: str
) -> None:
    plan = planner.plan(text)
    (step,) = plan.steps
    assert plan.question is None
    assert (step.task, step.text, step.slots["target"]) == ("translation", word, language)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Summarize: The ferries are sold. Fares stay as they are until March.", "summarization"),
        ("Is this positive or negative? I loved it.", "sentiment"),
        ("Classify as spam or not spam: You won a prize", "classification"),
        ("How come?", "generation"),
        ("Which tastes better, red or green grapes?", "generation"),
    ],
)
def test_the_plainest_requests(planner: Planner, text: str, task: str) -> None:
    plan = planner.plan(text)
    assert ([step.task for step in plan.steps], plan.question) == ([task], None)


SEVERAL = "Summarize this in French: The shop opens at nine and closes at ten."


@pytest.fixture
def unsure(planner: Planner) -> Planner:
    """The planner with a threshold that no plan reaches."""
    other = copy.copy(planner)
    other.threshold = 1.1
    return other


def test_the_next_likeliest_plan_comes_with_an_uncertain_one(unsure: Planner) -> None:
    plan = unsure.plan(SEVERAL)
    assert plan.uncertain
    assert plan.alternative is not None
    assert plan.alternative.steps[0].text
    assert plan.alternative.confidence <= plan.confidence
    assert plan.alternative.tasks != plan.tasks


def test_a_sure_plan_is_the_only_one_that_is_worked_out(planner: Planner) -> None:
    plan = planner.plan(SEVERAL)
    assert plan.confidence >= planner.threshold
    assert (plan.alternative, plan.uncertain) == (None, False)
    assert plan.alternatives


def test_two_plans_to_choose_from_differ(unsure: Planner) -> None:
    said = "Translate into French: The train is late."
    history: list[Message] = [
        {"role": "user", "content": said},
        {"role": "assistant", "content": "Le train est en retard."},
    ]
    plan = unsure.plan("The bus is late, too.", history)  # again, or translation: the same
    assert plan.alternative is not None
    assert plan.alternative.tasks != plan.tasks == ("translation",)
    assert plan.tasks not in dict(plan.alternatives)


def test_other_plans_are_told_in_names_of_tasks(planner: Planner) -> None:
    history: list[Message] = [
        {"role": "user", "content": "Is this positive? I loved it."},
        {"role": "assistant", "content": "positive"},
    ]
    plan = planner.plan("Now the same in German: The bus is late.", history)
    assert plan.tasks == ("translation",)
    assert ("sentiment",) in dict(plan.alternatives)  # what was done before, again
    assert all(set(names) <= set(planner.tasks) for names in dict(plan.alternatives))


def test_what_the_person_chose_has_no_alternative(planner: Planner) -> None:
    for plan in (planner.plan("/translate fr hello"), planner.plan("hello", task="sentiment")):
        assert (plan.alternative, plan.uncertain) == (None, False)
