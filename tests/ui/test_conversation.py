from dataclasses import replace

import pytest

from agent.events import (
    Failed,
    Finished,
    Highlighted,
    Notice,
    Planned,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.plan import Plan, Question, Step
from core.errors import InputError
from ui.conversation import Conversation, TurnView, read, read_attached

PLAN = Plan((Step("summarization", 0.9, text="a"), Step("sentiment", 0.7)), "router", 2.0)


def finished(index: int, text: str, labels: dict[str, float] | None = None) -> StepFinished:
    return StepFinished(index, text, labels or {}, 3, 0.5, 0.1, "end", {"base": "b"})


def test_a_turn_follows_the_events_of_a_plan() -> None:
    turn = TurnView(text="request")
    turn.apply(Planned(PLAN))
    assert [step.status for step in turn.steps] == ["pending", "pending"]
    turn.apply(StepStarted(0, PLAN.steps[0], "adapter-a"))
    turn.apply(Notice(0, "history_dropped", "Two left out.", {"dropped": 2}))
    turn.apply(TextDelta(0, "sh"))
    turn.apply(TextDelta(0, "ort"))
    assert (turn.steps[0].status, turn.answer) == ("running", "short")
    turn.apply(finished(0, "short"))
    turn.apply(StepStarted(1, PLAN.steps[1], None))
    turn.apply(finished(1, "positive", {"positive": 0.8, "negative": 0.2}))
    turn.apply(Highlighted(1, [("sh", 0.1), ("ort", 0.0)]))
    turn.apply(Finished("positive", {}, 6, 1.0, "end"))
    assert [step.status for step in turn.steps] == ["done", "done"]
    assert (turn.status, turn.answer, turn.confidence) == ("done", "positive", 0.7)
    assert turn.fingerprints == {"1.base": "b", "2.base": "b"}
    assert turn.steps[0].notices[0].numbers == {"dropped": 2}


def test_a_failure_keeps_what_was_written() -> None:
    turn = TurnView(text="request")
    turn.apply(Planned(PLAN))
    turn.apply(StepStarted(0, PLAN.steps[0], None))
    turn.apply(TextDelta(0, "half"))
    turn.apply(Failed("Too long.", "TooLong"))
    assert (turn.status, turn.error_kind, turn.answer) == ("failed", "TooLong", "half")
    assert [step.status for step in turn.steps] == ["stopped", "stopped"]


def test_messages_leave_failures_out() -> None:
    conversation = Conversation()
    done, failed = conversation.begin("one"), conversation.begin("two")
    done.apply(Planned(Plan((Step("generation", 0.9),), "router")))
    done.apply(finished(0, "answer"))
    done.apply(Finished("answer", {}, 3, 0.5, "end"))
    failed.apply(Failed("No.", "InputError"))
    assert conversation.messages() == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "answer"},
    ]


def test_messages_of_several_steps_tell_their_results_apart() -> None:
    conversation = Conversation()
    turn = conversation.begin("two")
    turn.apply(Planned(PLAN))
    for index, text in enumerate(("short", "court")):
        turn.apply(finished(index, text))
    turn.apply(Finished("short\n\ncourt", {}, 3, 0.5, "end"))
    assert conversation.messages()[1] == {
        "role": "assistant",
        "content": "court",
        "results": ["short", "court"],
    }


def test_a_reply_to_a_question_comes_with_the_question() -> None:
    for about, told in (("language", 2), ("help", 0)):
        conversation = Conversation()
        turn = conversation.begin("Translate into Klingon: hello")
        question = Question(about, "Into what?")
        turn.apply(Planned(replace(PLAN, question=question)))
        turn.apply(Failed("Into what?", "AsksBack"))
        again = read(conversation.model_dump())
        again.begin("French")
        assert (
            again.messages()
            == [
                {"role": "user", "content": "Translate into Klingon: hello"},
                {"role": "assistant", "content": "Into what?"},
            ][:told]
        )


def test_messages_carry_what_the_person_decided_and_not_what_the_router_did() -> None:
    conversation = Conversation()
    for reason in ("router", "chosen", "picked"):
        turn = conversation.begin(reason)
        turn.apply(Planned(replace(PLAN, reason=reason)))
        turn.apply(finished(1, "answer"))
        turn.apply(Finished("answer", {}, 3, 0.5, "end"))
    assert [message for message in conversation.messages() if message["role"] == "user"] == [
        {"role": "user", "content": "router"},
        {"role": "user", "content": "chosen", "task": "summarization"},
        {"role": "user", "content": "picked", "plan": ["summarization", "sentiment"]},
    ]


def test_an_uncertain_plan_is_offered_with_the_other_and_survives_the_browser() -> None:
    other = Plan((Step("generation", 0.3, text="a"),), "router")
    turn = Conversation().begin("request")
    turn.apply(Planned(replace(PLAN, uncertain=True, alternative=other)))
    turn.apply(Failed("Which?", "AsksBack"))
    [again] = read(Conversation(turns=[turn]).model_dump()).turns
    assert [[step.task for step in plan] for plan in again.offers] == [
        ["summarization", "sentiment"],
        ["generation"],
    ]
    sure = Conversation().begin("request")
    sure.apply(Planned(replace(PLAN, alternative=other)))
    assert sure.offers == ()


def test_instructions_lead_the_messages_and_are_kept() -> None:
    conversation = read({"instructions": " Be brief. ", "turns": []})
    conversation.begin("one")
    assert conversation.messages() == [{"role": "system", "content": "Be brief."}]
    assert read(conversation.model_dump()).instructions == " Be brief. "


def test_what_the_browser_kept_comes_back_whole_and_at_rest() -> None:
    conversation = Conversation()
    conversation.begin("a request").apply(Planned(PLAN))
    again = read(conversation.model_dump())
    assert again.id == conversation.id
    assert (again.turns[0].status, again.turns[0].stopped) == ("done", "stop")


def test_a_turn_knows_what_it_follows_and_which_version_it_is() -> None:
    conversation = Conversation()
    first = conversation.begin("one")
    second = conversation.begin("two")
    conversation.turns.pop()
    again = conversation.begin("two, changed", instead_of=second)
    assert (first.parent, second.parent, again.parent) == ("", first.id, first.id)
    assert (again.version, again.versions) == (2, 2)
    assert "versions" not in again.model_dump()  # the browser counts them


def test_nonsense_from_the_browser_is_an_empty_conversation() -> None:
    for nonsense in (None, {}, [], "x", 7, {"turns": [{"no": "text"}]}, {"turns": "x"}):
        assert read(nonsense).turns == []


def test_files_are_kept_with_their_turn_and_end_its_message() -> None:
    document = {
        "name": "a.md",
        "format": "markdown",
        "size": 12,
        "blocks": [{"kind": "heading", "text": "Hi", "level": 1}, {"kind": "list", "text": "one"}],
    }
    conversation = Conversation()
    turn = conversation.begin("Summarize", read_attached([{"document": document, "tokens": 4}]))
    turn.apply(Planned(Plan((Step("summarization", 0.9, text="a"),), "router", 2.0)))
    turn.apply(StepStarted(0, Step("summarization", 0.9), None))
    turn.apply(finished(0, "short"))
    turn.apply(Finished("short", {}, 6, 1.0, "end"))
    again = read(conversation.model_dump())
    assert again.turns[0].attached == turn.attached
    assert again.messages()[0] == {
        "role": "user",
        "content": "Summarize\n\n# Hi\n\n- one",
        "attached": "# Hi\n\n- one",
    }


def test_damaged_files_are_refused() -> None:
    with pytest.raises(InputError, match="came damaged"):
        read_attached([{"document": {"name": "a", "format": "text", "blocks": [{"kind": 5}]}}])
    with pytest.raises(InputError, match="came damaged"):
        read_attached("x")
