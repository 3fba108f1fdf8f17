"""Events become a record: steps as they come, a second beginning, and every kind of end."""

from __future__ import annotations

from agent.events import (
    Event,
    Failed,
    Finished,
    Highlighted,
    Notice,
    Planned,
    StepFinished,
    StepStarted,
    TextDelta,
    Waiting,
)
from agent.plan import Plan, Step
from agent.turn_record import TurnRecord

PLAN = Plan((Step("summarization", 0.9, text="a"), Step("sentiment", 0.7)), "router", 2.0)
LABELS = {"positive": 0.8, "negative": 0.2}


def record_of(*events: Event) -> TurnRecord:
    record = TurnRecord()
    for event in events:
        record.apply(event)
    return record


def finished(index: int, text: str, labels: dict[str, float] | None = None) -> StepFinished:
    return StepFinished(
        index=index,
        text=text,
        labels=labels or {},
        tokens=3,
        seconds=0.5,
        first_token=0.1,
        stopped="end",
        fingerprints={"base": "b"},
        prompt_tokens=7,
    )


def test_a_plan_is_followed_to_its_end() -> None:
    record = record_of(Waiting(2), Waiting(1), Planned(PLAN))
    assert (record.position, record.plan) == (1, PLAN)
    assert [step.status for step in record.steps] == ["pending", "pending"]
    assert record.started == []

    record.apply(StepStarted(0, PLAN.steps[0], "adapter-a"))
    for delta in ("sh", "ort "):
        record.apply(TextDelta(0, delta))
    assert [step.status for step in record.steps] == ["running", "pending"]
    assert (record.steps[0].adapter, record.steps[0].text) == ("adapter-a", "short ")

    record.apply(finished(0, "short"))
    record.apply(StepStarted(1, PLAN.steps[1], None))
    record.apply(finished(1, "positive", LABELS))
    record.apply(Highlighted(1, [("sh", 0.1), ("ort", 0.0)]))
    last = Finished("positive", labels=LABELS, tokens=6, seconds=1.0, stopped="end")
    record.apply(last)
    assert [step.status for step in record.steps] == ["done", "done"]
    assert [step.text for step in record.started] == ["short", "positive"]
    assert [result.prompt_tokens for result in record.results] == [7, 7]
    assert record.steps[1].highlights == [("sh", 0.1), ("ort", 0.0)]
    assert (record.finished, record.failed) == (last, None)


def test_a_step_that_another_engine_begins_anew_keeps_its_plan_and_drops_the_rest() -> None:
    planned = Step("generation", 0.9, nearest="a sample request")
    dropped = Notice(0, "history_dropped", "Two left out.", {"dropped": 2})
    taken_over = Notice(0, "stand_in", "The starter answers.")
    record = record_of(
        Planned(Plan((planned,), "router")),
        StepStarted(0, Step("generation", 0.9), "theirs"),
        dropped,
        StepStarted(0, Step("generation", 0.9), "ours"),
        taken_over,
        TextDelta(0, "hello"),
    )
    (step,) = record.started
    assert (step.step, step.adapter, step.text) == (planned, "ours", "hello")
    assert step.notices == [taken_over]
    assert record.notices == [dropped, taken_over]


def test_a_failure_leaves_what_was_written_and_what_never_began() -> None:
    error = Failed("Too long.", "TooLong")
    record = record_of(
        Planned(PLAN), StepStarted(0, PLAN.steps[0], None), TextDelta(0, "half"), error
    )
    assert (record.failed, record.finished) == (error, None)
    assert [step.text for step in record.started] == ["half"]
    assert [step.status for step in record.steps] == ["running", "pending"]
    assert record.results == []


def test_messages_answered_as_they_stand_have_a_step_and_no_plan() -> None:
    record = record_of(
        StepStarted(0, Step("", 1.0), "theirs"),
        StepStarted(0, Step("", 1.0), "ours"),
        TextDelta(0, "hi"),
        finished(0, "hi"),
    )
    assert record.plan is None
    assert [(step.step.task, step.adapter, step.text) for step in record.steps] == [
        ("", "ours", "hi")
    ]


def test_a_turn_that_is_stopped_while_it_waits_has_no_step() -> None:
    stopped = Finished("", labels={}, tokens=0, seconds=0.0, stopped="stop")
    record = record_of(Waiting(1), stopped)
    assert (record.position, record.steps, record.finished) == (1, [], stopped)
