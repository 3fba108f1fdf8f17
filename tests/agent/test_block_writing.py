"""A translation of files, block by block, on the fake engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import made_files
import pytest

import documents
from agent.events import BlockTexts, Event, Notice, StepFinished, TextDelta
from agent.plan import Step
from agent.step_run import Begun, StepRun, TurnContext
from agent.steps import run_step
from documents import Document, joined
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, WriteReply, WriteRequest
from tasks.spec import load_tasks

TASK = load_tasks()["translation"]


class Shouting(FakeEngine):
    """Answers with the sentence in capitals, its tags as they are unless it loses them."""

    loses = ""

    def _answer(self, request: WriteRequest | CompletionRequest) -> str:
        assert isinstance(request, WriteRequest)
        said = request.messages[-1]["content"].upper().replace("<G", "<g").replace("</G", "</g")
        for part in self.loses.split():
            said = said.replace(part, "")
        return said.replace("<X", "<x")


def work(engine: FakeEngine, *read: Document) -> StepRun:
    step = Step("translation", 1.0, {"source": "en", "target": "fr"})
    return StepRun(engine, TASK, 0, step, joined(read), TurnContext(documents=read))


def only(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def read(name: str, text: str | bytes) -> Document:
    return documents.read(name, text.encode() if isinstance(text, str) else text)


MARKDOWN = """---
title: x
---
# A list

- one thing
- `code` here

```
make it
```

| a b | c d |
|---|---|
| e f | g h |
"""
SRT = """1
00:00:01,000 --> 00:00:02,000
<i>Hello there.</i>

2
00:00:03,000 --> 00:00:04,000
Good & bye.
"""
HTML = """<html><head><title>A page</title></head><body class="x">
<h1>The <b>bold</b> head</h1><p>All <a href="u">of it</a>. Second one.</p></body></html>
"""
TEXT = "One line.\r\n\r\nAnother one.\r\n"


def with_capitals(source: str, *words: str) -> str:
    for word in words:
        source = source.replace(word, word.upper())
    return source


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("a.md", MARKDOWN, ["A list", "one thing", "here", "a b", "c d", "e f", "g h"]),
        ("a.srt", SRT, ["Hello there", "Good & bye"]),
        ("a.html", HTML, ["A page", "The", ">bold<", " head<", "All", "of it", "Second one"]),
        ("a.txt", TEXT, ["One line", "Another one"]),
    ],
)
def test_a_file_comes_out_as_the_file_it_came_as(name: str, source: str, words: list[str]) -> None:
    wanted = with_capitals(source, *words)
    document = read(name, source)
    events = list(run_step(work(Shouting(), document)))
    (finished,), (made,) = only(events, StepFinished), only(events, BlockTexts)
    assert documents.write(document, made.texts).decode() == wanted
    assert finished.text == "".join(delta.text for delta in only(events, TextDelta)).strip()
    assert "<g" not in finished.text
    assert made.lost == ()
    assert finished.stopped == "end"


def test_a_docx_keeps_its_formatting_and_the_text_shows_no_tags() -> None:
    document = read("letter.docx", made_files.letter())
    events = list(run_step(work(Shouting(), document)))
    (made,) = only(events, BlockTexts)
    again = documents.read("letter.docx", documents.write(document, made.texts))
    assert [block.kind for block in again.blocks] == [block.kind for block in document.blocks]
    assert [b.given for b in again.blocks] == list(made.texts)
    assert again.text.upper() == again.text == only(events, StepFinished)[0].text
    assert any("<g1>" in text for text in made.texts)


def test_what_was_lost_is_listed_with_its_block() -> None:
    class Careless(Shouting):
        loses = "<g1> </g1> 42"

        def _answer(self, request: WriteRequest | CompletionRequest) -> str:
            said = super()._answer(request)
            return said.replace("GOOD", "FINE") if said.startswith("IT") else said

    document = read(
        "a.html", "<p>It was <b>very good</b> then.</p><p>All 42 came, and 17 left.</p>"
    )
    events = list(run_step(work(Careless(), document)))
    assert only(events, BlockTexts)[0].lost == ((0, "very good"), (1, "42"))
    notices = [notice for notice in only(events, Notice) if "lost" in notice.words]
    assert {notice.kind: notice.words["lost"] for notice in notices} == {
        "not_kept": "42",
        "format_lost": "very good",
    }
    assert all(notice.after for notice in notices)


def test_formatting_that_was_lost_is_found_by_its_words() -> None:
    class Careless(Shouting):
        loses = "<g1> </g2>"

    document = read("a.html", "<p>It was <b>very good</b> for <i>Ann</i>, <u>too</u>.</p>")
    engine = Careless()
    (made,) = only(list(run_step(work(engine, document))), BlockTexts)
    assert made.texts == ("IT WAS <g1>VERY GOOD</g1> FOR <g2>ANN</g2>, <g3>TOO</g3>.",)
    assert made.lost == ()
    asked = [call.messages[-1]["content"] for call in engine.calls[2:]]
    assert asked == []  # they stand there as they are


def test_several_files_are_one_text_and_a_text_of_ones_own_is_none_of_them() -> None:
    first, second = read("a.txt", "One thing."), read("b.md", "# Two things")
    run = work(Shouting(), first, second)
    events = list(run_step(run))
    assert only(events, StepFinished)[0].text == "a.txt\n\nONE THING.\n\nb.md\n\n# TWO THINGS"
    assert only(events, BlockTexts)[0].texts == ("ONE THING.", "TWO THINGS")
    other = list(run_step(replace(run, content="My own words.")))
    assert not only(other, BlockTexts)


def test_stopped_and_gone_on_with_it_is_the_same_file() -> None:
    document = read("a.txt", "\n\n".join(f"Line {n} is here. It ends." for n in range(9)))
    stop = threading.Event()

    class Stopping(Shouting):
        def write(
            self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
        ) -> Iterator[WriteReply]:
            if len(self.calls) == 9:
                assert stop
                stop.set()
            yield from super().write(request, stop)

    run = work(Stopping(), document)
    run = replace(run, turn=replace(run.turn, stop=stop))
    events = list(run_step(run))
    (finished,), (made,) = only(events, StepFinished), only(events, BlockTexts)
    assert finished.stopped == "stop"
    assert len(made.texts) == 4
    begun = Begun.of([finished.text], finished.stopped, finished.place, made)
    engine = Shouting()
    rest = work(engine, document)
    rest = replace(rest, begun=begun.texts[0], place=begun.place)
    rest = replace(rest, turn=replace(rest.turn, begun=begun))
    went_on = list(run_step(rest))
    whole = list(run_step(work(Shouting(), document)))
    assert len(engine.calls) == 9  # no finished sentence is written again
    assert only(went_on, BlockTexts) == only(whole, BlockTexts)
    assert only(went_on, StepFinished)[0].text == only(whole, StepFinished)[0].text


def test_a_block_that_is_longer_than_the_limit_is_gone_on_with() -> None:
    document = read("a.txt", "".join(f"Line {n} is here.\n" for n in range(9)))
    begun, times = None, 0
    while times < 20:
        run = replace(work(Shouting(), document), tokens_left=10)
        if begun:
            run = replace(run, begun=begun.texts[0], place=begun.place)
            run = replace(run, turn=replace(run.turn, begun=begun))
        events = list(run_step(run))
        (finished,), (made,) = only(events, StepFinished), only(events, BlockTexts)
        if finished.stopped == "end":
            break
        begun = Begun.of([finished.text], finished.stopped, finished.place, made)
        times += 1
    assert times > 2
    assert made.texts == ("\n".join(f"LINE {n} IS HERE." for n in range(9)),)
    assert not made.sentences


def test_a_limit_of_tokens_ends_it_between_two_sentences() -> None:
    document = read("a.txt", "\n\n".join(f"Line {n} is here." for n in range(9)))
    events = list(run_step(replace(work(Shouting(), document), tokens_left=20)))
    (finished,), (made,) = only(events, StepFinished), only(events, BlockTexts)
    assert finished.stopped == "length"
    assert 0 < len(made.texts) < 9


def test_every_sentence_of_a_long_file_is_asked_about_once() -> None:
    document = read("a.md", "\n\n".join(f"Line {n}." for n in range(1000)))
    engine = Shouting()
    list(run_step(work(engine, document)))
    assert len(engine.calls) == 1000
