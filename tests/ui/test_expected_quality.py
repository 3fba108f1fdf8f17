"""What the page says of an answer's quality."""

from __future__ import annotations

import re

import pytest

from agent.events import (
    Failed,
    Finished,
    Measured,
    Notice,
    Planned,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.plan import Plan, Step
from tasks.spec import Both, load_tasks
from ui.conversation import TurnView, read
from ui.draw import draw_turn
from ui.quality import sureness
from ui.words import words

TASKS = load_tasks()
STEP = Step("translation", 0.98, {"source": "en", "target": "fr"}, text="The library.")
EVERYDAY = Both(en="everyday sentences", zh="日常句子")


def drawn(turn: TurnView) -> str:
    return "\n".join(
        part["text"] if part["type"] == "text" else part["value"]
        for part in draw_turn(turn, TASKS, {})[1]["content"]
    )


def answered(*notices: Notice, value: float = 34.4, figures: int = 1) -> TurnView:
    turn = TurnView(text="Translate into French: The library.")
    measured = (Measured("bleu", value, value - 3, value + 3, 500, EVERYDAY),) * figures
    turn.apply(Planned(Plan((STEP,), "router", 1.0)))
    turn.apply(StepStarted(0, STEP, "translation", measured))
    for notice in (one for one in notices if not one.after):
        turn.apply(notice)
    turn.apply(TextDelta(0, "La bibliothèque."))
    for notice in (one for one in notices if one.after):
        turn.apply(notice)
    turn.apply(StepFinished(0, "La bibliothèque.", {}, 4, 1.0, 0.1, "end", {}, probability=0.9))
    turn.apply(Finished("La bibliothèque.", {}, 4, 1.0, "end"))
    return turn


def test_the_chip_says_how_sure_and_what_to_expect() -> None:
    summary = drawn(answered()).partition("</summary>")[0]
    for said in ("sure of the route", "English to French: ", "BLEU 34, everyday sentences"):
        assert said in summary
    for said in ("路由很确定", "英语译法语：", "日常句子，BLEU 34", "31 – 37, n = 500"):
        assert said in summary
    assert "pb-low" not in summary


def test_a_figure_under_the_floor_stands_out() -> None:
    floor = TASKS["translation"].floors["bleu"]
    assert "pb-low" in drawn(answered(value=floor - 1))
    assert "pb-low" not in drawn(answered(value=floor))


def test_what_nobody_judged_says_so() -> None:
    page = drawn(answered(figures=0))
    assert "quality not measured" in page
    assert "BLEU" not in page


@pytest.mark.parametrize(
    ("confidence", "reason", "said"),
    [
        (0.99, "router", "sure of the route"),
        (0.95, "router", "sure of the route"),
        (0.85, "router", "fairly sure"),
        (0.6, "router", "not sure"),
        (1.0, "command", "the slash command"),
        (1.0, "chosen", "your choice"),
        (0.4, "picked", "your pick"),
    ],
)
def test_sureness_in_words(confidence: float, reason: str, said: str) -> None:
    shown = re.sub("<[^>]*>", "", sureness(confidence, reason))
    assert shown.startswith(said)


def test_cautions_stand_before_the_text_and_doubts_under_it() -> None:
    caution = Notice(0, "below_floor", "low", words=dict.fromkeys(("shown", "floor", "texts"), "x"))
    doubt = Notice(0, "unsure", "unlikely", {"percent": 31}, after=True)
    page = drawn(answered(caution, doubt))
    places = [page.index(said) for said in ("often go wrong", "La bibliothèque", "(31% a token)")]
    assert places == sorted(places)
    assert page.count("pb-warn") == 2


def test_a_notice_has_its_words_in_each_language() -> None:
    given = {"base": "b", "name": "Japanese", "name_zh": "日语", "instead": "gpu"}
    page = drawn(answered(Notice(0, "unknown_language", "m", words=given)))
    assert "b does not know Japanese" in page
    assert "b 不会日语" in page


def test_what_a_notice_names_is_escaped() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    given = {"title": nasty, "title_zh": nasty, "adapter": nasty}
    assert "<img" not in drawn(answered(Notice(0, "other_adapter", nasty, words=given)))
    assert "<img" not in drawn(answered(Notice(0, "not in words.yaml", nasty)))


@pytest.mark.parametrize("steps", [(STEP,), (STEP, Step("sentiment", 0.9))])
def test_a_request_that_is_asked_back_shows_no_route(steps: tuple[Step, ...]) -> None:
    turn = TurnView(text="Translate into Klingon: hello")
    turn.apply(Planned(Plan(steps, "router", 1.0)))
    turn.apply(Failed("“Klingon” is not a language known here.", "AsksBack"))
    page = drawn(turn)
    assert "pb-route" not in page
    assert "pb-step" not in page
    assert "98%" not in page
    assert "Klingon" in page
    assert 'data-act="reroute"' in page  # it may have been another skill's


def test_a_browser_keeps_the_figures() -> None:
    turn = answered(Notice(0, "unsure", "unlikely", {"percent": 31}, after=True))
    kept = read({"turns": [turn.model_dump()], "use": {"translation": ""}})
    assert kept.turns[0].steps == turn.steps
    assert drawn(kept.turns[0]) == drawn(turn)
    assert kept.use == {"translation": ""}


def test_an_answer_that_was_kept_before_there_were_figures_is_drawn() -> None:
    old = answered().model_dump()
    del old["steps"][0]["measured"]
    assert "quality not measured" in drawn(read({"turns": [old]}).turns[0])


def test_every_notice_has_both_languages() -> None:
    kinds = (
        "unknown_language unknown_language_anywhere no_adapter base_chosen other_adapter "
        "below_floor copied unsure close"
    )
    for kind in kinds.split():
        both = words()[f"notice.{kind}"]
        slots = re.findall(r"{(\w+)}", both.en)
        assert sorted(slots) == sorted(re.findall(r"{(\w+)}", both.zh)), kind
