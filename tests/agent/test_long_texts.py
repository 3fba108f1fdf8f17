"""Texts that are longer than what a step reads, on the fake engine."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.events import Event, Notice, Progress, Sources, StepFinished, TextDelta
from agent.long_texts import is_long
from agent.plan import Step
from agent.step_run import Begun, StepRun, TurnContext
from agent.steps import run_step
from core.errors import TooLong
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, WriteReply, WriteRequest
from tasks.spec import Message, load_tasks

TASKS = load_tasks()
CHAPTERS = "\n\n".join(
    f"# Chapter {n}\n\nThe bridge {n} was opened in {1900 + n}.\n\n" + "It rained for days. " * 20
    for n in range(1, 25)
)


class FirstSentence(FakeEngine):
    """Answers with the first sentence behind a heading."""

    def _answer(self, request: WriteRequest | CompletionRequest) -> str:
        assert isinstance(request, WriteRequest)
        text = re.sub(r"#.*", "", request.messages[-1]["content"])
        return re.split(r"(?<=[.。])", text.strip())[0].removeprefix(request.begun)


def work(engine: FakeEngine, task: str, content: str, tokens: int = 100, **slots: str) -> StepRun:
    spec = TASKS[task]
    assert spec.parts
    sizes = {"above": tokens, "tokens": tokens, "shorter": {}}
    spec = spec.model_copy(update={"parts": spec.parts.model_copy(update=sizes)})
    return StepRun(engine, spec, 0, Step(task, 1.0, dict(slots)), content, TurnContext())


def only(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def too_few(events: list[Event]) -> list[Notice]:
    return [notice for notice in only(events, Notice) if notice.kind == "fewer" and notice.after]


def test_a_short_text_is_read_at_once() -> None:
    engine = FirstSentence()
    events = list(run_step(work(engine, "summarization", "One sentence. And another.")))
    assert len(engine.calls) == 1
    assert not only(events, Sources)
    assert "parts" not in only(events, StepFinished)[0].fingerprints


def test_a_text_beyond_the_context_is_summarized_whole_and_says_where_from() -> None:
    engine = FirstSentence(context_tokens=700)
    events = list(run_step(work(engine, "summarization", CHAPTERS, length="bullets")))
    (finished,) = only(events, StepFinished)
    assert finished.text == "".join(delta.text for delta in only(events, TextDelta))
    lines = finished.text.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("- The bridge ") for line in lines)
    assert finished.fingerprints["parts"]
    (sources,) = only(events, Sources)
    assert sources.read == sources.parts == 24
    progress = [(event.done, event.total) for event in only(events, Progress)]
    assert progress == [(n, 24) for n in range(1, 25)]
    for source in sources.sources:
        sentence = finished.text[source.begin : source.end]
        assert source.place.words == sentence
        assert CHAPTERS[source.place.begin : source.place.end].strip() == sentence
        assert source.place.heading == f"Chapter {re.findall('[0-9]+', sentence)[0]}"


def test_bullets_are_made_of_smaller_parts() -> None:
    text = CHAPTERS[:1500]
    for length, pieces in (("bullets", True), ("paragraph", False)):
        run = replace(work(FirstSentence(), "summarization", text), task=TASKS["summarization"])
        run = replace(run, step=Step("summarization", 1.0, {"length": length}))
        events = list(run_step(run))
        assert bool(only(events, Sources)) == pieces
        assert only(events, StepFinished)[0].text.startswith("- ") == pieces


@pytest.mark.parametrize("count", [1, 2, 3, 11, 24])
@pytest.mark.parametrize("tokens", [100, 5000])
def test_as_many_bullets_as_were_asked_for(count: int, tokens: int) -> None:
    run = work(FirstSentence(), "summarization", CHAPTERS, tokens, length="bullets")
    run = replace(run, step=Step("summarization", 1.0, {"length": "bullets", "count": str(count)}))
    events = list(run_step(run))
    (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
    assert len(re.findall(r"^- .", finished.text, re.M)) == count == len(finished.text.split("\n"))
    assert sources.read == sources.parts
    assert not too_few(events)


@pytest.mark.parametrize(
    "text",
    [
        "It rained. The dam broke at night. Two farms were flooded. Nobody was hurt.",
        "下雨了。夜里大坝决堤。两个农场被淹。没有人受伤。",
    ],
)
def test_two_sentences_of_a_short_text(text: str) -> None:
    class Talkative(FirstSentence):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            return super()._answer(request) + " And more. 还有。"

    run = replace(work(Talkative(), "summarization", text), task=TASKS["summarization"])
    for count, said in (("2", 2), ("4", 4), ("9", 4)):
        slots = {"length": "sentence", "count": count}
        events = list(run_step(replace(run, step=Step("summarization", 1.0, slots))))
        (finished,) = only(events, StepFinished)
        assert len(re.findall("[.。]", finished.text)) == said
        assert bool(too_few(events)) == (said < int(count))
    assert too_few(events)[0].numbers == {"sentences": 4, "count": 9}


def test_counted_sentences_that_are_stopped_come_as_far_as_they_did() -> None:
    stop = threading.Event()

    class Stopping(FirstSentence):
        def write(
            self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
        ) -> Iterator[WriteReply]:
            if len(self.calls) == 1:
                assert stop
                stop.set()
            yield from super().write(request, stop)

    run = work(Stopping(), "summarization", CHAPTERS[:900], tokens=5000)
    run = replace(run, step=Step("summarization", 1.0, {"length": "sentence", "count": "3"}))
    run = replace(run, turn=replace(run.turn, stop=stop))
    events = list(run_step(run))
    (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
    assert finished.stopped == "stop"
    assert finished.text == "The bridge 1 was opened in 1901."
    assert (sources.read, sources.parts) == (1, 3)


def test_one_sentence_is_made_of_all_parts_with_the_wished_length_last() -> None:
    engine = FirstSentence(context_tokens=700)
    run = work(engine, "summarization", CHAPTERS, length="title")
    (finished,) = only(list(run_step(run)), StepFinished)
    assert finished.text == "The bridge 1 was opened in 1901."
    wished = [call.messages[0]["content"] for call in engine.calls]
    assert [prompt for prompt in wished if "title" in prompt] == wished[-1:]
    assert len(wished) > 24


def test_chinese_is_cut_and_found_too() -> None:
    seasons = enumerate("春夏秋冬")
    text = "\n\n".join(f"第{n}章讲的是{name}。" + "天气很好。" * 14 for n, name in seasons)
    events = list(run_step(work(FirstSentence(), "summarization", text, length="paragraph")))
    (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
    assert finished.text == "第0章讲的是春。第1章讲的是夏。第2章讲的是秋。第3章讲的是冬。"
    assert [one.place.paragraph for one in sources.sources] == [1, 2, 3, 4]


def test_a_sentence_that_stands_nowhere_is_said_to() -> None:
    class Dreamer(FakeEngine):
        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            return "Elephants danced beautifully."

    events = list(run_step(work(Dreamer(), "summarization", CHAPTERS, length="bullets")))
    assert {source.place for source in only(events, Sources)[0].sources} == {None}


def test_stop_ends_it_and_says_how_far_it_came() -> None:
    stop = threading.Event()

    class Stopping(FirstSentence):
        def write(
            self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
        ) -> Iterator[WriteReply]:
            if len(self.calls) == 10:
                assert stop
                stop.set()
            yield from super().write(request, stop)

    run = work(Stopping(), "summarization", CHAPTERS, length="bullets")
    run = replace(run, turn=replace(run.turn, stop=stop))
    events = list(run_step(run))
    (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
    assert finished.stopped == "stop"
    assert (sources.read, sources.parts) == (8, 24)
    assert len(finished.text.splitlines()) == 2
    # Going on does the rest, and gives what would have come at once.
    begun = Begun.of([finished.text], finished.stopped, finished.place)
    engine = FirstSentence()
    rest = work(engine, "summarization", CHAPTERS, length="bullets")
    events = list(run_step(replace(rest, begun=begun.texts[0], place=begun.place)))
    whole = list(run_step(work(FirstSentence(), "summarization", CHAPTERS, length="bullets")))
    assert only(events, StepFinished)[0].text == only(whole, StepFinished)[0].text
    assert only(events, Sources)[0].read == 24
    assert len(only(events, Progress)) == 18


@pytest.mark.parametrize("length", ["bullets", "paragraph", "sentence"])
def test_a_piece_that_is_longer_than_the_limit_is_gone_on_with_too(length: str) -> None:
    def answered(begun: Begun | None, most: int) -> StepFinished:
        run = work(FirstSentence(), "summarization", CHAPTERS, length=length)
        run = replace(run, tokens_left=most)
        if begun:
            run = replace(run, begun=begun.texts[0], place=begun.place)
        return only(list(run_step(run)), StepFinished)[0]

    whole, last, times = answered(None, 1000), answered(None, 3), 0
    while last.stopped == "length" and times < 100:
        last = answered(Begun.of([last.text], last.stopped, last.place), 3)
        times += 1
    assert last.text == whole.text
    assert times > 1


def test_a_verdict_is_made_of_the_parts() -> None:
    good, bad = "This is positive. " * 30, "This is negative. " * 30
    events = list(run_step(work(FakeEngine(), "sentiment", f"{good}\n\n{bad}\n\n{good}")))
    (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
    labels = [source.label for source in sources.sources]
    assert set(labels) == {"positive", "negative"}
    assert finished.text == "positive"
    assert sum(finished.labels.values()) == pytest.approx(1)
    total = sum(one.place.end - one.place.begin for one in sources.sources)
    assert total == len(f"{good}\n\n{bad}\n\n{good}")
    assert finished.labels["positive"] > finished.labels["negative"] > 0.2


def test_far_too_many_parts_are_refused_with_their_number() -> None:
    with pytest.raises(TooLong, match=r"The text has [\d,]+ parts of 16 tokens; at most 1,000"):
        list(run_step(work(FakeEngine(), "summarization", "word " * 20_000, tokens=16)))


def test_bullets_of_a_book_are_made_of_longer_parts_where_there_would_be_too_many() -> None:
    run = work(FirstSentence(), "summarization", "Two short words. " * 6000, tokens=400)
    assert run.task.parts
    smaller = run.task.parts.model_copy(update={"shorter": {"bullets": 16}})
    run = replace(run, task=run.task.model_copy(update={"parts": smaller}))
    events = list(run_step(replace(run, step=Step("summarization", 1.0, {"length": "bullets"}))))
    assert only(events, Sources)[0].parts == 8 * 7  # 18,000 tokens
    assert len(only(events, StepFinished)[0].text.splitlines()) == 8


def test_a_book_is_not_counted_whole_to_be_found_long() -> None:
    class Counting(FirstSentence):
        longest = 0

        def count_tokens(self, messages: tuple[Message, ...]) -> int:
            self.longest = max(self.longest, *(len(message["content"]) for message in messages))
            return super().count_tokens(messages)

    engine = Counting()
    assert is_long(work(engine, "summarization", CHAPTERS * 10))
    assert engine.longest < len(CHAPTERS)
    assert is_long(work(engine, "summarization", " " * 3000 + CHAPTERS))
    assert not is_long(work(engine, "summarization", "A text. "))


def test_the_limit_is_of_the_answer_and_not_of_what_was_asked_on_the_way() -> None:
    """Eight bullets of seven tokens each, of 24 sentences: 56 tokens of 168 and more."""
    for most, lines, stopped in ((56, 8, "end"), (55, 7, "length"), (20, 2, "length")):
        run = work(FirstSentence(), "summarization", CHAPTERS, length="bullets")
        events = list(run_step(replace(run, tokens_left=most)))
        (finished,), (sources,) = only(events, StepFinished), only(events, Sources)
        assert finished.stopped == stopped
        assert len(finished.text.splitlines()) == lines
        assert finished.answer_tokens == 7 * lines
        assert finished.tokens > most
        assert sources.read == 3 * lines
