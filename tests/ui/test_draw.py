import re

import pytest

from agent.events import (
    Failed,
    Finished,
    Notice,
    Planned,
    Source,
    Sources,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.inventory import TargetLanguages
from agent.plan import Plan, Step
from core import errors
from tasks.spec import load_tasks
from ui.bars import draw_bars, draw_words, percent
from ui.conversation import Conversation, StepView, TurnView
from ui.draw import draw_conversation, draw_turn
from ui.frame import draw_header
from ui.sources import draw_sources
from ui.words import duration, phrase, words

TASKS = load_tasks()
TARGETS = {"translation": TargetLanguages(("fr", "de"), ("es",))}
KINDS = [found for found in vars(errors).values() if isinstance(found, type)]
KINDS = [found for found in KINDS if issubclass(found, errors.PatchbayError)]
NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def drawn(turn: TurnView, latest: bool = True) -> str:
    """All HTML and Markdown of a turn."""
    return "\n".join(
        part["text"] if part["type"] == "text" else part["value"]
        for message in draw_turn(turn, TASKS, TARGETS, latest)
        for part in message["content"]
    )


def answered(text: str = "answer", **step: object) -> TurnView:
    turn = TurnView(text="request")
    turn.apply(Planned(Plan((Step("generation", 0.876, **step),), "router", 3.2)))
    turn.apply(StepStarted(0, Step("generation", 0.876), None))
    turn.apply(TextDelta(0, text))
    turn.apply(StepFinished(0, text, {}, 4, 1.0, 0.1, "end", {"base": "b"}))
    turn.apply(Finished(text, {}, 4, 1.0, "end"))
    return turn


def test_nothing_a_person_or_a_model_wrote_becomes_markup() -> None:
    turn = answered(NASTY, nearest=NASTY)
    turn.text, turn.steps[0].adapter = NASTY, NASTY
    turn.steps.append(StepView(task=NASTY, labels={NASTY: 1.0}, pieces=[(NASTY, 0.5)]))
    turn.steps.append(StepView(task="translation", slots={"target": NASTY, "source": NASTY}))
    asked = TurnView(
        id=NASTY, text=NASTY, steps=turn.steps, alternative=turn.steps, status="failed"
    )
    for page in (drawn(turn), drawn(asked)):
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page


def test_route_says_task_confidence_adapter_and_why() -> None:
    page = drawn(answered(nearest="Tell me a joke"))
    for words_ in (
        "Chat",
        "对话",
        "88%",
        "fairly sure",
        "base, no adapter",
        "Tell me a joke",
        "the router",
    ):
        assert words_ in page


def test_languages_are_shown_whatever_their_slots_are_called() -> None:
    shipped = TASKS["translation"]
    slots = {"into": shipped.slots["target"], "from": shipped.slots["source"]}
    tasks = {"translation": shipped.model_copy(update={"slots": slots})}
    step = StepView(task="translation", slots={"into": "fr", "from": "de"})
    page = str(draw_turn(TurnView(text="request", steps=[step]), tasks, {}))
    for words_ in ("to French", "译成法语", "from German"):
        assert words_ in page


def test_only_the_latest_turn_can_be_answered_again() -> None:
    conversation = Conversation(turns=[answered(), answered()])
    page = str(draw_conversation(conversation, TASKS, TARGETS))
    assert page.count('data-act="reroute"') == len(TASKS)
    assert page.count('data-act="undo"') == 1
    assert page.count('data-act="like"') == 2


def test_what_was_asked_back_is_changed_and_not_asked_again() -> None:
    """The same request would be asked the same question."""
    turn = TurnView(text="Translate into Klingon: The ship is ready.")
    turn.apply(Failed("“Klingon” is not a language known here.", "AsksBack"))
    assert 'data-act="edit"' in drawn(turn)
    assert 'data-act="retry"' not in drawn(turn)


@pytest.mark.parametrize(
    ("question", "language"),
    [("“Klingon” is not a language known here.", "en"), ("不认识语言“克林贡语”。", "zh")],
)
def test_a_question_is_in_its_own_language_and_all_around_it_in_the_pages(
    question: str, language: str
) -> None:
    turn = TurnView(text="request")
    turn.apply(Failed(question, "AsksBack"))
    page = drawn(turn)
    assert f'lang="{language}">{question}</p>' in page  # a paragraph of its own, on either page
    assert page.count(question) == 1
    for said in ('<span lang="en">Answer below', '<span lang="zh">请在下面回复'):
        assert said in page


def test_commands_are_listed_in_the_pages_language() -> None:
    turn = TurnView(text="/help", asked_back="help", status="failed", error_kind="AsksBack")
    turn.error = "Commands, in front of a text: …"
    page = drawn(turn)
    assert "<code>/summarize</code>" in page
    assert '<span lang="zh">摘要</span>' in page
    assert "Commands, in front" not in page


def test_bullets_with_their_places_stay_bullets() -> None:
    text = "- The bridge is red.\n- It rained."
    lines = tuple(Source(at, end, None) for at, end in ((2, 20), (23, 33)))
    bullets = draw_sources(Sources(0, 2, 2, lines), text, None)
    assert bullets.count("<li>") == 2
    prose = draw_sources(Sources(0, 2, 2, lines), text.replace("- ", "* "), None)
    assert "<li>" not in prose


def test_a_task_that_is_gone_is_drawn_by_its_name() -> None:
    turn = answered()
    turn.steps[0].task = "retired"
    assert "retired" in drawn(turn)


@pytest.mark.parametrize(
    "kind",
    [error.__name__ for error in (*KINDS, Exception) if error is not errors.AsksBack],
)
def test_every_error_has_a_sentence_in_both_languages(kind: str) -> None:
    turn = TurnView(text="request")
    turn.apply(Failed("The disk is full.", kind))
    page = drawn(turn)
    assert "The disk is full." in page
    assert re.search(r'<p><span lang="en">[^<]{20,}</span><span lang="zh">[^<]{6,}</span>', page)


def test_a_step_that_another_engine_begins_anew_says_so_once_in_both_languages() -> None:
    turn = TurnView(text="request")
    turn.apply(Planned(Plan((Step("generation", 0.9),), "router")))
    turn.apply(StepStarted(0, Step("generation", 0.9), "theirs"))
    turn.apply(Notice(0, "history_dropped", "Two left out.", {"dropped": 2}))
    turn.apply(StepStarted(0, Step("generation", 0.9), "ours"))
    turn.apply(Notice(0, "stand_in", "The starter answers."))
    page = drawn(turn)
    assert [notice.kind for notice in turn.steps[0].notices] == ["stand_in"]
    assert "The small starter model answers in its place." in page
    assert "由小型入门模型代为回答" in page
    assert "ours" in page
    assert "theirs" not in page


def test_bars_are_ordered_translated_and_never_certain() -> None:
    labels = {"positive": 0.9989, "negative": 0.001, "neutral": 0.0001}
    page = draw_bars(StepView(task="sentiment", labels=labels), TASKS["sentiment"])
    assert page.index("正面") < page.index("负面") < page.index("中性")
    assert "&gt;99%" in page
    assert "&lt;1%" in page
    assert percent(0.5) == "50%"


def test_words_that_weigh_nothing_are_not_highlighted() -> None:
    assert draw_words([("a ", 0.0), ("b", 0.001)]) == ""
    page = draw_words([("good ", 0.4), ("but ", 0.0), ("bad", -0.2)])
    assert re.findall(r'<mark class="([a-z-]+)".*?>(\w+)</mark>', page) == [
        ("pb-for", "good"),
        ("pb-against", "bad"),
    ]


def test_both_languages_fill_the_same_braces() -> None:
    # The English of these stands in the code: see test_workshop_refusal and test_statements.
    elsewhere = ("said.",)
    both_here = {key: both for key, both in words().items() if not key.startswith(elsewhere)}
    for key, both in both_here.items():
        assert set(re.findall(r"{(\w+)}", both.en)) == set(re.findall(r"{(\w+)}", both.zh)), key


def test_the_header_links_to_a_licence_that_restricts_use() -> None:
    header = draw_header("google/gemma-3-270m", "starter", "https://example.org/terms?a=1&b=2")
    assert 'href="https://example.org/terms?a=1&amp;b=2"' in header
    assert "Terms of use" in header
    assert "使用条款" in header
    assert "href" not in draw_header("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2")


@pytest.mark.parametrize(
    ("seconds", "left", "chinese"),
    [(4, "4 s left", "还需 4 秒"), (380, "6 min left", "还需 6 分钟"),
     (12_000, "3 h 20 min left", "还需 3 小时 20 分钟")],
)  # fmt: skip
def test_a_time_is_said_in_both_languages(seconds: float, left: str, chinese: str) -> None:
    said = phrase("progress.left", left=duration(seconds))
    assert (said.en, said.zh) == (left, chinese)
