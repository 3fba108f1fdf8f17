"""What is missing is asked for, and nothing is invented in its place."""

from __future__ import annotations

import copy

import pytest

from agent.plan import Plan
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


def replied(planner: Planner, *said: str, task: str | None = None) -> Plan:
    """The plan of the last of what a person says, each but it having been asked back about."""
    history: list[Message] = []
    for text in said[:-1]:
        question = planner.plan(text, history, None if history else task).question
        assert question is not None
        asked: Message = {"role": "user", "content": text}
        history += [
            asked if history or not task else {**asked, "task": task},
            {"role": "assistant", "content": question.message},
        ]
    return planner.plan(said[-1], history)


@pytest.mark.parametrize(
    ("asked", "reply", "text", "targets"),
    [
        ("Translate into Klingon: hello", "French", "hello", ["fr"]),
        ("Translate into Klingon: hello", "Into German, please.", "hello", ["de"]),
        ("Translate into Klingon: hello", "polish", "hello", ["pl"]),
        ("Translate into Klingon: Klingon is hard.", "French", "Klingon is hard.", ["fr"]),
        ("Translate this into Frensh: good morning", "yes", "good morning", ["fr"]),
        ("Translate into French or German: good morning everyone", "German", None, ["de"]),
        ("Translate into French or German: good morning everyone", "both", None, ["fr", "de"]),
        ("翻译成法语还是德语：你好", "德语", "你好", ["de"]),
        ("翻译成法语还是德语：你好", "都要", "你好", ["fr", "de"]),
    ],
)
def test_a_language_in_reply_completes_the_request(
    planner: Planner, asked: str, reply: str, text: str | None, targets: list[str]
) -> None:
    plan = replied(planner, asked, reply)
    assert plan.question is None
    assert plan.reason == "follow-up"
    assert plan.steps[0].text == (text or "good morning everyone")
    assert [step.slots["target"] for step in plan.steps] == targets


ARTICLE = "The council met on Tuesday. It voted to keep the old bridge open for walkers."


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ("Summarize this", "summarization"),
        ("/summarize", "summarization"),
        ("Summarize: https://example.com/article/123", "summarization"),
        ("Is this positive?", "sentiment"),
        ("Translate into French", "translation"),
    ],
)
def test_a_text_in_reply_completes_the_request(planner: Planner, asked: str, task: str) -> None:
    plan = replied(planner, asked, ARTICLE)
    assert ([step.task for step in plan.steps], plan.question) == ([task], None)
    assert plan.steps[0].text == ARTICLE
    assert plan.steps[0].slots.get("target", "fr") == "fr"


def test_a_reply_completes_a_task_that_was_chosen(planner: Planner) -> None:
    plan = replied(planner, "this", ARTICLE, task="summarization")
    assert (plan.tasks, plan.question, plan.steps[0].text) == (("summarization",), None, ARTICLE)


def test_a_misspelt_reply_is_asked_about(planner: Planner) -> None:
    question = replied(planner, "Translate into Klingon: hello", "frensh").question
    assert question is not None
    assert "Did you mean French" in question.message
    (step,) = replied(planner, "Translate into Klingon: hello", "frensh", "yes").steps
    assert (step.text, step.slots["target"]) == ("hello", "fr")


def test_one_question_can_follow_another(planner: Planner) -> None:
    plan = replied(planner, "Translate into Klingon", ARTICLE, "French")
    (step,) = plan.steps
    assert (step.task, step.text, step.slots["target"]) == ("translation", ARTICLE, "fr")


def test_a_follow_up_of_a_completed_request_is_about_its_text(planner: Planner) -> None:
    asked = "Translate into Klingon: good morning everyone"
    question = planner.plan(asked).question
    assert question is not None
    history: list[Message] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": question.message},
        {"role": "user", "content": "French"},
        {"role": "assistant", "content": "bonjour à tous"},
    ]
    (step,) = planner.plan("and in German?", history).steps
    assert (step.task, step.text, step.slots["target"]) == (
        "translation",
        "good morning everyone",
        "de",
    )


@pytest.mark.parametrize(
    ("asked", "text", "task"),
    [
        ("Translate into Klingon: hello", "Why is the sky blue?", "generation"),
        ("Summarize this", "Is this positive? I loved it.", "sentiment"),
        ("Summarize this", "What do you mean?", "generation"),
        ("Summarize this", "Translate into French: The train is late.", "translation"),
        ("Summarize this", "/sentiment The bridge is lovely and I walk there daily.", "sentiment"),
        ("/help", ARTICLE, "generation"),
    ],
)
def test_another_request_is_no_reply(planner: Planner, asked: str, text: str, task: str) -> None:
    assert replied(planner, asked, text).tasks == (task,)


def test_a_question_is_never_worked_on(planner: Planner) -> None:
    summary = "The old bridge stays open."
    said: list[Message] = [
        {"role": "user", "content": f"Summarize: {ARTICLE}"},
        {"role": "assistant", "content": summary},
        {"role": "user", "content": "Translate into Klingon"},
    ]
    question = planner.plan("Translate into Klingon", said[:2]).question
    assert question is not None
    said.append({"role": "assistant", "content": question.message})
    for text in ("Translate it into French", "French"):
        (step,) = planner.plan(text, said).steps
        assert (step.text, step.slots["target"]) == (summary, "fr")


def test_a_text_that_is_to_be_written_first_is_not_content(planner: Planner) -> None:
    asked = "Write a poem about spring and translate it into Klingon"
    first, second = replied(planner, asked, "French").steps
    assert (first.text, second.slots["target"]) == ("Write a poem about spring", "fr")
