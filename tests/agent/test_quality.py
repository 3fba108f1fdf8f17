"""What an answer says of its own quality, with the shipped figures and the real planner."""

from __future__ import annotations

import math

import pytest
from named_starter import Starter

from agent.agent import Agent
from agent.events import Event, Finished, Notice, StepFinished, StepStarted, TextDelta
from agent.options import TurnOptions
from agent.planning.planner import Planner
from agent.quality import is_copied
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, Delta, Usage, WriteRequest
from tasks.spec import load_tasks

TASKS = load_tasks()
PROSE = "The council met on Tuesday and the members voted to keep the old bridge open for walkers."


class SmolLM(Starter):
    base = "HuggingFaceTB/SmolLM2-135M-Instruct"


def events_of(planner: Planner, text: str, engine: FakeEngine | None = None, **how) -> list[Event]:
    return list(Agent(engine or Starter(), TASKS, planner).answer(text, explain=False, **how))


def kinds(events: list[Event], after: bool) -> list[str]:
    return [one.kind for one in events if isinstance(one, Notice) and one.after == after]


def started(events: list[Event]) -> StepStarted:
    return next(one for one in events if isinstance(one, StepStarted))


@pytest.mark.parametrize(
    ("text", "figure", "texts"),
    [
        ("/translate fr The train leaves at nine.", "bleu", "everyday sentences"),
        ("/translate fr " + 4 * f"{PROSE} ", "bleu", "documentation"),
        ("/translate en Le train part à neuf heures du matin.", "bleu", "everyday sentences"),
        ("/sentiment 杯子很漂亮，爱不释手。", "accuracy", "takeaway reviews"),
        ("/sentiment A warm and funny film, and I would see it again.", "accuracy", "film reviews"),
        ("/summarize " + 8 * f"{PROSE} ", "rouge_1", "dialogues"),
    ],
)
def test_an_answer_says_how_such_answers_were_judged(
    planner: Planner, text: str, figure: str, texts: str
) -> None:
    events = events_of(planner, text)
    first = started(events).measured[0]
    assert (first.figure, first.texts.en) == (figure, texts)
    assert first.low < first.value < first.high
    assert first.rows >= 100
    assert kinds(events, after=False) == []


def test_each_direction_of_a_language_pair_has_its_own_figure(planner: Planner) -> None:
    there = started(events_of(planner, "/translate de The train leaves at nine.")).measured[0]
    back = started(events_of(planner, "/translate en Der Zug fährt um neun Uhr ab.")).measured[0]
    assert 20 < there.value < 35 < back.value


def test_a_figure_holds_for_what_was_judged_alone(planner: Planner) -> None:
    other = Starter()
    other.adapters.fingerprints = dict.fromkeys(other.adapters.fingerprints, "another")
    events = events_of(planner, "/translate fr The train leaves at nine.", other)
    assert started(events).measured == ()
    assert kinds(events, after=False) == []  # not judged is not bad


def test_a_pair_that_nobody_judged_has_no_figure(planner: Planner) -> None:
    events = events_of(planner, "/translate de Le train part à neuf heures du matin.")
    assert started(events).adapter == "translation"
    assert started(events).measured == ()


@pytest.mark.parametrize(
    ("text", "engine", "kind", "says"),
    [
        ("/classify 央行宣布下调利率，股市应声上涨。", Starter, "below_floor", "right in 48%"),
        ("/translate Italian The train leaves at nine.", Starter, "unknown_language", "Italian"),
        ("/translate ja The train leaves at nine.", Starter, "unknown_language", "gpu or zero"),
        ("/chat 東京の天気はどうですか。教えてください。", Starter, "unknown_language", "Japanese"),
        ("/chat 给刚开始学做饭的人三条建议。", SmolLM, "unknown_language", "starter or gpu"),
        (
            "/summarize Der Stadtrat traf sich am Dienstag, um über die alte Brücke zu beraten. "
            "Nach drei Stunden stimmten die Mitglieder dafür, sie offen zu halten.",
            Starter,
            "other_adapter",
            "generation",
        ),
        ("/summarize " + PROSE, FakeEngine, "no_adapter", "not measured"),
    ],
)
def test_what_to_fear_is_said_before_the_first_word(
    planner: Planner, text: str, engine: type[FakeEngine], kind: str, says: str
) -> None:
    events = events_of(planner, text, engine())
    assert kinds(events, after=False) == [kind]
    notice = next(one for one in events if isinstance(one, Notice))
    assert says in notice.message
    words = (i for i, one in enumerate(events) if isinstance(one, TextDelta | StepFinished))
    assert events.index(notice) < next(words)


def test_code_is_in_no_foreign_language(planner: Planner) -> None:
    code = "def f(xs):\n    return sorted({x for x in xs if x is not None}, key=len)\n"
    assert kinds(events_of(planner, "/chat " + code), after=False) == []


def test_unlikely_words_are_doubted_under_the_answer(planner: Planner) -> None:
    floor = TASKS["translation"].floors["probability"]
    text = "/translate fr The train leaves at nine."
    for chance, expected in ((floor - 0.1, ["unsure"]), (floor + 0.1, []), (None, [])):
        events = events_of(planner, text, Starter("Le train part à neuf heures.", chance))
        assert kinds(events, after=True) == expected
        (finished,) = (one for one in events if isinstance(one, StepFinished))
        assert finished.probability == pytest.approx(chance)


def test_a_close_call_between_labels_is_said(planner: Planner) -> None:
    events = events_of(planner, "/sentiment A chair, a table and nothing else at all in the room.")
    assert kinds(events, after=True) == ["close"]
    sure = events_of(planner, "/sentiment positive positive positive positive positive positive")
    assert kinds(sure, after=True) == []


def test_a_translation_that_is_its_source_is_said(planner: Planner) -> None:
    text = "/translate fr The library is closed on Mondays."
    events = events_of(planner, text, Starter("The library is closed on Mondays."))
    assert kinds(events, after=True) == ["copied"]
    assert isinstance(events[-1], Finished)
    good = events_of(planner, text, Starter("La bibliothèque est fermée le lundi."))
    assert kinds(good, after=True) == []


@pytest.mark.parametrize(
    ("task", "content", "answer", "copied"),
    [
        (
            "translation",
            "图书馆星期一不开门，请改天再来。",
            "图书馆星期一不开门，请改天再来。",
            True,
        ),
        (
            "translation",
            "图书馆星期一不开门，请改天再来。",
            "The library is closed on Monday.",
            False,
        ),
        (
            "translation",
            "Run `pip install patchbay` first.",
            "Zuerst `pip install patchbay`.",
            False,
        ),
        ("translation", "Paris, Berlin", "Paris, Berlin", False),
        ("summarization", PROSE, PROSE, True),
        ("summarization", f"{PROSE} It rained. The mayor was ill, and nobody spoke.", PROSE, False),
        ("generation", "What is the capital of France?", "What is the capital of France?", True),
        ("generation", "Correct this: " + PROSE, PROSE, False),
    ],
)
def test_what_counts_as_a_copy(task: str, content: str, answer: str, copied: bool) -> None:
    assert is_copied(TASKS[task], content, answer) is copied


def test_an_answer_that_was_stopped_is_not_doubted(planner: Planner) -> None:
    class Stops(Starter):
        def write(self, request: WriteRequest | CompletionRequest, stop: object = None):
            yield Delta("The")
            yield Usage(5, 1, 0.1, 0.1, "stop", math.log(0.01))

    events = events_of(planner, "/translate fr The train leaves at nine.", Stops())
    assert kinds(events, after=True) == []


@pytest.mark.parametrize(
    ("request_", "says", "expected"),
    [
        ("/translate Italian The train leaves at nine.", "x", ["unsure"]),
        ("/translate Italian The train leaves at nine.", "The train leaves at nine.", ["copied"]),
        ("/sentiment A chair, a table and nothing else at all in the room.", "", []),
    ],
)
def test_of_a_table_only_what_speaks_against_a_row_is_said(
    planner: Planner, request_: str, says: str, expected: list[str]
) -> None:
    agent = Agent(Starter(says, 0.01 if says == "x" else None), TASKS, planner)
    events = list(agent.run_row(planner.plan(request_), options=TurnOptions(batch="table")))
    assert [one.kind for one in events if isinstance(one, Notice)] == expected
    assert started(events).measured == ()
