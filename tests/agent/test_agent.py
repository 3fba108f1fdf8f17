"""One turn from request to events, with the real planner and the fake engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from adapter_store.promotions import Promotions
from adapter_store.scope import Scope
from agent.agent import Agent
from agent.cleaning import MAX_CHARACTERS
from agent.events import (
    Event,
    Failed,
    Finished,
    Highlighted,
    Notice,
    Place,
    Planned,
    Progress,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.options import TurnOptions
from agent.plan import Plan, Step
from agent.planning.planner import Planner
from agent.step_run import Begun
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, WriteRequest
from tasks.spec import Message, load_tasks


def agent(planner: Planner, engine: FakeEngine) -> Agent:
    return Agent(engine, load_tasks(), planner)


def turn(
    planner: Planner, text: str, engine: FakeEngine | None = None, **how: object
) -> list[Event]:
    return list(agent(planner, engine or FakeEngine()).answer(text, **how))  # type: ignore[arg-type]


def only(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def remarks(events: list[Event]) -> list[Notice]:
    """The notices, without that the fake has no adapter; test_quality.py has those of that kind."""
    return [notice for notice in only(events, Notice) if notice.kind != "no_adapter"]


def test_the_events_of_a_written_answer(planner: Planner) -> None:
    events = turn(planner, "/translate fr Good morning. How are you?")
    assert isinstance(events[0], Planned)
    assert isinstance(events[1], StepStarted)
    assert isinstance(events[-1], Finished)
    text = "".join(delta.text for delta in only(events, TextDelta))
    (finished,) = only(events, StepFinished)
    assert finished.text == text.strip() == events[-1].text
    assert finished.fingerprints["task"].startswith("translation-v")
    assert events[1].adapter is None


def test_long_text_is_translated_by_sentence_and_keeps_its_layout(planner: Planner) -> None:
    engine = FakeEngine()
    text = "# Plan\n\n- Buy milk. Call Ann.\n- [ ] Go home.\n\n```\ncode stays\n```\n"
    events = turn(planner, "/translate fr " + text, engine)
    assert [call.messages[-1]["content"] for call in engine.calls] == [
        "Plan",
        "Buy milk.",
        "Call Ann.",
        "Go home.",
    ]
    assert only(events, StepFinished)[0].text == (
        "# [base] Plan\n\n- [base] Buy milk. [base] Call Ann.\n- [ ] [base] Go home.\n\n"
        "```\ncode stays\n```"
    )


def test_what_a_translation_lost_is_said(planner: Planner) -> None:
    class Forgetful(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            return super()._answer(request).replace("{name}", "{nom}").replace("`ls`", "cela")

    events = turn(planner, "/translate fr Hello {name}, run `ls` now.", Forgetful())
    assert only(events, StepFinished)[0].text == "[base] Hello {name}, run cela now."
    (notice,) = remarks(events)
    assert (notice.kind, notice.words) == ("not_kept", {"lost": "`ls`"})


def test_steps_feed_each_other(planner: Planner) -> None:
    engine = FakeEngine()
    report = "The council met on Tuesday and decided to keep the bridge open for walkers."
    events = turn(planner, f"Summarize this and put it in French: {report}", engine)
    assert [started.step.task for started in only(events, StepStarted)] == [
        "summarization",
        "translation",
    ]
    first, second = (call.messages[-1]["content"] for call in engine.calls)
    assert first == report
    assert second == only(events, StepFinished)[0].text


def test_the_adapter_of_the_task_is_used_and_named(planner: Planner) -> None:
    tasks = load_tasks()
    tasks["sentiment"] = tasks["sentiment"].model_copy(update={"adapters": ["mood"]})
    engine = FakeEngine({"mood": "abc123"})
    events = list(Agent(engine, tasks, planner).answer("/sentiment Lovely.", explain=False))
    assert only(events, StepStarted)[0].adapter == "mood"
    assert engine.calls[0].adapter == "mood"
    assert only(events, StepFinished)[0].fingerprints["adapter"] == "abc123"


def test_an_adapter_answers_only_what_it_was_trained_for(planner: Planner) -> None:
    tasks = load_tasks()
    pair = {"adapters": ["to-german", "to-french"]}
    tasks["translation"] = tasks["translation"].model_copy(update=pair)
    scopes = {name: Scope(slots={"target": [to]}) for name, to in
              (("to-german", "de"), ("to-french", "fr"))}  # fmt: skip
    for target, adapter in (("fr", "to-french"), ("de", "to-german"), ("it", None)):
        engine = FakeEngine({"to-german": "a", "to-french": "b"}, scopes=scopes)
        request = f"/translate {target} The library opens at nine."
        events = list(Agent(engine, tasks, planner).answer(request))
        assert only(events, StepStarted)[0].adapter == adapter
        assert engine.calls[0].adapter == adapter


def test_instruction_tuning_answers_for_tasks_without_an_adapter(planner: Planner) -> None:
    scopes = {"chat": Scope(languages=["en"], any_task=True), "mood": Scope(languages=["en"])}
    engine = FakeEngine({"chat": "a", "mood": "b"}, scopes=scopes)
    tasks = load_tasks()
    tasks["sentiment"] = tasks["sentiment"].model_copy(update={"adapters": ["mood"]})
    agent = Agent(engine, tasks, planner)
    text = "The weather was lovely and everybody enjoyed the long walk by the river."

    def answered_by(request: str) -> str | None:
        events = list(agent.answer(request, explain=False))
        return only(events, StepStarted)[0].adapter

    assert answered_by(f"/sentiment {text}") == "mood"
    assert answered_by(f"/translate fr {text}") == "chat"
    assert answered_by("/sentiment 今天天气很好，大家沿着河边走了很久，都很开心。") == "chat"


def test_promotions_take_effect_and_roll_back_in_a_running_agent(planner: Planner) -> None:
    engine = FakeEngine({"sentiment-en": "a", "mine": "b"})
    agent = Agent(engine, load_tasks(), planner)

    def answered_by() -> str | None:
        events = list(agent.answer("/sentiment Lovely.", explain=False))
        return only(events, StepStarted)[0].adapter

    assert answered_by() == "sentiment-en"
    Promotions().promote("sentiment", "mine", "b", {})
    assert answered_by() == "mine"
    Promotions().rollback("sentiment")
    assert answered_by() == "sentiment-en"
    Promotions().promote("sentiment", "mine", "other weights", {})
    assert answered_by() == "sentiment-en"
    Promotions().promote("sentiment", "gone", "c", {})
    assert answered_by() == "sentiment-en"


def test_an_adapter_on_trial_answers_a_share_of_the_conversations(planner: Planner) -> None:
    agent = Agent(FakeEngine({"sentiment-en": "a", "mine": "b"}), load_tasks(), planner)

    def answered_by(text: str, past: Sequence[Message] = (), **options: Any) -> str | None:
        events = agent.answer(
            f"/sentiment {text}", past, explain=False, options=TurnOptions(**options)
        )
        return only(list(events), StepStarted)[0].adapter

    trial = Promotions().promote("sentiment", "mine", "b", {}, share=0.5)
    begun = [f"Lovely day number {n}." for n in range(40)]
    first = {text: answered_by(text) for text in begun}
    assert 8 < list(first.values()).count("mine") < 32
    for text, adapter in list(first.items())[:10]:
        past: list[Message] = [
            {"role": "user", "content": f"/sentiment {text}"},
            {"role": "assistant", "content": "positive"},
        ]
        assert {answered_by(f"Dull day {n}.", past) for n in range(3)} == {adapter}
        assert answered_by(text, allowed={"sentiment-en"}) == "sentiment-en"
    tried = next(text for text, adapter in first.items() if adapter == "mine")
    assert {answered_by(tried, visitor=f"visitor {n}") for n in range(40)} == {
        "mine", "sentiment-en",
    }  # fmt: skip
    step = Step("sentiment", 1.0, text=tried)
    rows = only(list(agent.run_row(Plan((step,), "person"))), StepStarted)
    assert rows[0].adapter == "sentiment-en", "a table's rows are answered by one adapter"
    Promotions().rollback("sentiment", only=trial.fingerprint)
    assert answered_by(tried) == "sentiment-en"


def test_choices_are_probabilities_with_words_that_carried_them(planner: Planner) -> None:
    events = turn(planner, "/sentiment what a positive positive day")
    (finished,) = only(events, StepFinished)
    assert sum(finished.labels.values()) == pytest.approx(1)
    assert finished.text == next(iter(finished.labels)) == "positive"
    (highlighted,) = only(events, Highlighted)
    assert "".join(piece for piece, _ in highlighted.pieces) == "what a positive positive day"
    weights = dict(highlighted.pieces)
    assert weights["positive "] > weights["day"] == pytest.approx(0)


def test_labels_of_ones_own(planner: Planner) -> None:
    events = turn(planner, "Spam or ham? You won a ham, claim your ham now", explain=False)
    assert set(only(events, StepFinished)[0].labels) == {"Spam", "ham"}


def test_the_oldest_turns_leave_and_it_is_said(planner: Planner) -> None:
    engine = FakeEngine(context_tokens=600)
    history: list[Message] = [{"role": "system", "content": "Be kind."}]
    for i in range(20):
        history.append({"role": "user", "content": f"question {i} " + "word " * 20})
        history.append({"role": "assistant", "content": f"answer {i}"})
    events = turn(planner, "/chat Hello there", engine, history=history)
    (notice,) = remarks(events)
    assert notice.numbers["dropped"] % 2 == 0
    assert str(notice.numbers["dropped"]) in notice.message
    sent = [message["content"] for message in engine.calls[0].messages]
    assert sent[0] == "Be kind."
    assert sent[-2] == "answer 19"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "InputError"),
        (" \n\t\x00\x07 ", "InputError"),
        ("x" * (MAX_CHARACTERS + 1), "InputError"),
        ("The shop opens at nine. " * 2000, "TooLong"),
        ("/translat fr hello", "UnknownName"),
    ],
)
def test_what_cannot_be_answered_ends_with_a_sentence(
    planner: Planner, text: str, kind: str
) -> None:
    events = turn(planner, text)
    assert isinstance(events[-1], Failed)
    assert events[-1].kind == kind
    assert len(events[-1].message) > 20


def test_an_unknown_task_fails_with_near_matches(planner: Planner) -> None:
    (failed,) = only(turn(planner, "hello", task="sentimant"), Failed)
    assert "Did you mean sentiment" in failed.message


def test_stop_ends_the_turn_and_later_steps_do_not_run(planner: Planner) -> None:
    engine, stop = FakeEngine(delay=0.01), threading.Event()
    text = "Summarize this and put it in French: " + "The bridge is old and long. " * 30
    events = []
    for event in agent(planner, engine).answer(text, stop=stop):
        events.append(event)
        if isinstance(event, TextDelta):
            stop.set()
    assert events[-1].stopped == "stop"  # type: ignore[union-attr]
    assert len(only(events, StepStarted)) == 1
    assert engine.passes < 5


def test_control_characters_do_not_reach_the_model(planner: Planner) -> None:
    engine = FakeEngine()
    turn(planner, "/chat Hello\x00 \x1b[31mred\r\nnext 👩‍🚀", engine)
    assert engine.calls[0].messages[-1]["content"] == "Hello [31mred\nnext 👩‍🚀"


def test_a_reply_is_written_about_the_text_that_was_judged(planner: Planner) -> None:
    engine = FakeEngine()
    text = "The cake came two hours late and nobody said sorry."
    events = turn(planner, f'Is this positive or negative? Then draft an apology: "{text}"', engine)
    assert [e.step.task for e in only(events, StepStarted)] == ["sentiment", "generation"]
    assert text in engine.calls[-1].messages[-1]["content"]
    assert "apology" in engine.calls[-1].messages[-1]["content"]


def test_a_stopped_choice_ends_quietly(planner: Planner) -> None:
    stop = threading.Event()
    stop.set()
    events = turn(planner, "/sentiment Lovely.", FakeEngine(), stop=stop)
    assert isinstance(events[-1], Finished)
    assert (events[-1].stopped, events[-1].labels) == ("stop", {})


def test_options_replace_the_decoding_and_bound_the_whole_turn(planner: Planner) -> None:
    engine = FakeEngine()
    options = TurnOptions(temperature=0.7, top_p=0.5, repetition_penalty=1.0, seed=3, max_tokens=9)
    text = "Summarize this and put it in French: The bridge is old. It will be closed."
    events = turn(planner, text, engine, options=options)
    drawn = engine.calls[0].decoding
    assert (drawn.temperature, drawn.top_p, drawn.repetition_penalty, drawn.seed) == (
        0.7,
        0.5,
        1,
        3,
    )
    assert engine.passes == 9
    assert events[-1].stopped == "length"


def test_a_string_that_ends_the_text_ends_the_turn(planner: Planner) -> None:
    events = turn(planner, "/chat one two three", options=TurnOptions(until=("two",)))
    assert only(events, StepFinished)[0].text == "[base] one"
    assert events[-1].stopped == "until"


def test_an_adapter_that_is_not_allowed_computes_nothing(planner: Planner) -> None:
    engine = FakeEngine({"sentiment-en": "0123", "other": "4567"})
    events = turn(planner, "/sentiment Lovely.", engine, options=TurnOptions(allowed=["other"]))
    assert isinstance(events[-1], Failed)
    assert events[-1].kind == "NotAllowed"
    assert "'sentiment-en'" in events[-1].message
    assert engine.calls == []


def test_messages_as_they_stand_reach_the_adapter(planner: Planner) -> None:
    engine = FakeEngine({"sentiment-en": "0123"})
    messages: list[Message] = [
        {"role": "system", "content": "Shout."},
        {"role": "user", "content": "/translate nothing here is routed"},
    ]
    events = list(
        agent(planner, engine).complete(messages, "sentiment-en", options=TurnOptions(logprobs=2))
    )
    assert engine.calls[0].messages == tuple(messages)
    (finished,) = only(events, StepFinished)
    assert finished.text == "[sentiment-en] /translate nothing here is routed"
    assert finished.fingerprints["adapter"] == "0123"
    assert only(events, TextDelta)[0].tokens[0].text == "[sentiment-en]"
    (failed,) = only(list(agent(planner, engine).complete(messages, "none")), Failed)
    assert failed.kind == "UnknownName"


def test_an_answer_that_goes_round_in_circles_is_ended_and_not_handed_on(planner: Planner) -> None:
    class Circling(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            return "It is a museum of art. " * 100

    (finished,) = only(turn(planner, "/chat Where is it?", Circling()), StepFinished)
    assert finished.stopped == "loop"
    assert 15 < len(finished.text.split()) < 90
    whole = TurnOptions(stop_loops=False)
    (finished,) = only(turn(planner, "/chat Where is it?", Circling(), options=whole), StepFinished)
    assert len(finished.text.split()) == 512
    both = (
        "Summarize this in one sentence, then translate it into Spanish: "
        + "The train is late. " * 40
    )
    events = turn(planner, both, Circling())
    assert [event.stopped for event in only(events, StepFinished)] == ["loop"]


TIPS = "1. Go slowly.\n2. Drink water.\n3. Rest well.\n4. Sleep.\n5. Stretch."


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        ("/chat Write three short tips for a runner.", 3),
        ("/chat 给我四条跑步的建议。", 4),
        ("/chat Write short tips for a runner.", 5),
        ("/chat Give me three more tips for a runner.", 5),
        ("/chat Give me two tips for each of four runners.", 5),
    ],
)
def test_a_list_ends_where_the_request_wants_it_to(
    planner: Planner, request_: str, kept: int
) -> None:
    class Listing(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            return TIPS

    (finished,) = only(turn(planner, request_, Listing()), StepFinished)
    assert finished.text.splitlines() == TIPS.splitlines()[:kept]
    assert finished.stopped == "end"
    own = TurnOptions(until=("Sleep",))  # what a client asks for holds alone
    (finished,) = only(turn(planner, request_, Listing(), options=own), StepFinished)
    assert finished.text.endswith("\n4.")
    assert finished.stopped == "until"


def test_sentences_that_loop_are_counted_and_the_others_go_on(planner: Planner) -> None:
    class Circling(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            loops = "round" in str(request)
            return "in a circle " * 60 if loops else super()._answer(request)

    long = " ".join(["much more than that"] * 60)
    events = turn(planner, f"/translate fr Go round {long}. Come home.", Circling())
    (notice,) = remarks(events)
    assert (notice.kind, notice.numbers) == ("looped", {"count": 1})
    assert only(events, StepFinished)[0].text.endswith("[base] Come home.")


def gone_on(planner: Planner, text: str, engine: FakeEngine, most: int) -> list[str]:
    """The text after each time that it is gone on with, so many tokens each."""
    begun, texts = None, list[str]()
    while True:
        events = turn(planner, text, engine, begun=begun, options=TurnOptions(max_tokens=most))
        finished = only(events, StepFinished)[-1]
        assert (
            "".join(delta.text for delta in only(events, TextDelta)).strip()
            == finished.text.strip()
        )
        texts.append(finished.text)
        if finished.stopped != "length":
            return texts
        begun = Begun.of([finished.text], finished.stopped, finished.place)


@pytest.mark.parametrize(
    "request_",
    [
        "/chat one two three four five six seven eight nine ten",
        "/translate fr # Plan\n\n- Buy milk and bread. Call Ann.\n- [ ] Go home.\n\n"
        "| a b | c |\n|---|---|\n"
        "\n```\ncode stays\n```\nEnd of it.",
    ],
)
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_going_on_at_the_length_limit_gives_the_answer_that_was_not_cut(
    planner: Planner, request_: str, most: int
) -> None:
    (whole,) = gone_on(planner, request_, FakeEngine(), most=500)
    *parts, last = gone_on(planner, request_, FakeEngine(), most=most)
    assert last == whole
    assert len(parts) > 1
    assert all(whole.startswith(part.strip()) for part in parts)


def test_going_on_does_not_do_earlier_steps_again(planner: Planner) -> None:
    engine = FakeEngine()
    text = (
        "Summarize this in one sentence, then translate it into Spanish: The train is late again."
    )
    begun = Begun(("It is late.", "[base] It"), Place())
    events = turn(planner, text, engine, begun=begun)
    assert len(engine.calls) == 1
    assert [event.index for event in only(events, StepFinished)] == [1]
    assert events[-1].text == "[base] It is late."
    events = turn(planner, text, engine, begun=Begun(("a", "b", "c")))
    assert isinstance(events[-1], Failed)
    assert "3 steps" in events[-1].message


def test_a_long_prompt_says_how_far_it_is_read(planner: Planner) -> None:
    engine = FakeEngine(context_tokens=10_000)
    events = turn(planner, "/chat " + "word " * 3500, engine)
    assert [(p.kind, p.done) for p in only(events, Progress)] == [
        ("prompt", 1000),
        ("prompt", 2000),
        ("prompt", 3000),
    ]


def test_a_sentence_that_lost_something_is_written_a_second_time(planner: Planner) -> None:
    class Forgetful(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            whole = super()._answer(request)
            return whole.replace("1949", "") if request.decoding.temperature == 0 else whole

    engine = Forgetful()
    events = turn(planner, "/translate fr It opened in 1949. It closed later.", engine)
    assert len(engine.calls) == 3
    assert only(events, StepFinished)[0].text == "[base] It opened in 1949. [base] It closed later."
    assert only(events, StepFinished)[0].tokens == 5 + 5 + 4
    assert not remarks(events)


def test_a_long_translation_says_how_far_it_is(planner: Planner) -> None:
    events = turn(planner, "/translate fr " + "It rains. " * 9)
    assert [(p.done, p.total) for p in only(events, Progress)] == [(n, 9) for n in range(1, 10)]
