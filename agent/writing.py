"""Write the text of a step, piece by piece where its task has that."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial

from agent import segments, verbatim
from agent.events import Event, Notice, Place, Progress, TextDelta
from agent.pace import Pace
from agent.planning import list_lengths
from agent.step_run import CUT_SHORT, StepRun, finished
from engine.interface import Delta, PrefillProgress, Usage, WriteReply, WriteRequest
from tasks.spec import Decoding, Message

MIN_ANSWER_TOKENS = 24  # an answer may always have so many
SECOND_TEMPERATURE = 0.6  # of a sentence that lost something
MANY = 8  # segments, from which on it is said how far it is
OUT_OF_TOKENS = Usage(prompt_tokens=0, tokens=0, seconds=0.0, first_token=0.0, stopped="length")


def write(run: StepRun) -> Iterator[Event]:
    """Yield the events of a step that writes, behind StepStarted."""
    history, dropped = _fitting(run)
    if dropped:
        yield Notice(
            run.index,
            "history_dropped",
            f"The first {dropped} messages no longer fit and were left out of this answer.",
            {"dropped": dropped},
        )
    text, usages, place = run.begun, list[Usage](), run.place
    if text:
        yield TextDelta(run.index, text)
    for item in _write_segments(run, history):
        match item:
            case Usage():
                usages.append(item)
            case PrefillProgress():
                yield Progress(run.index, "prompt", item.read, item.prompt_tokens)
            case Delta() if item.text or item.tokens:
                text += item.text
                yield TextDelta(run.index, item.text, item.tokens)
            case Progress():
                yield item
            case int():
                place = Place(item, len(text))
    yield from _remarks(run, text, usages)
    cut_short = bool(usages) and usages[-1].stopped in CUT_SHORT
    yield finished(run, text if cut_short else text.strip(), usages, place=place)


def _remarks(run: StepRun, text: str, usages: Sequence[Usage]) -> Iterator[Notice]:
    """What is to be said about a finished text."""
    looped = sum(usage.stopped == "loop" for usage in usages[:-1])
    if looped:
        yield looped_notice(run.index, looped)
    whole = all(usage.stopped == "end" for usage in usages)
    if run.task.split == "sentences" and whole and (lost := verbatim.lost(run.content, text)):
        yield not_kept_notice(run.index, lost)


def not_kept_notice(index: int, lost: Sequence[str]) -> Notice:
    """What the text has and the answer lacks."""
    said = ", ".join(lost)
    message = f"In the text, but not as it stands there in this answer: {said}"
    return Notice(index, "not_kept", message, words={"lost": said}, after=True)


def looped_notice(index: int, count: int) -> Notice:
    """So many sentences went round in circles."""
    words = f"{count} sentences of this answer repeated themselves and were ended there."
    return Notice(index, "looped", words, {"count": count}, after=True)


def _write_segments(
    run: StepRun, history: Sequence[Message]
) -> Iterator[WriteReply | Progress | int]:
    """What comes of each segment, behind the place in the content where its core begins.

    An answer that was begun is gone on with at its place.
    """
    left, core, end, number = run.tokens_left, 0, 0, 0
    every = list(_segments(run))
    total = sum(bool(segment.core) for segment in every)
    pace = Pace(run.index, total)
    for segment in every:
        number += bool(segment.core)
        core = end + len(segment.before)
        end = core + len(segment.core)
        if not run.begun or end > run.place.content:
            going_on = bool(run.begun) and core == run.place.content
            begun = run.begun[run.place.text :] if going_on else ""
            if segment.before and not going_on:
                yield Delta(segment.before)
            if segment.core:
                if not going_on:
                    yield core
                if total >= MANY:
                    yield pace.begins(number)
                if left == 0:
                    yield OUT_OF_TOKENS
                    return
                used = yield from write_core(
                    run, segment.core, history=history, begun=begun, left=left
                )
                left = max(0, left - used.tokens)
                if used.stopped in {"stop", "time", "until"}:
                    return
                if used.stopped == "length" and left == 0:
                    return
            if segment.after:
                yield Delta(segment.after)
        end += len(segment.after)


def write_core(
    run: StepRun,
    core: str,
    *,
    left: int,
    history: Sequence[Message] = (),
    begun: str = "",
    again: bool = True,
) -> Generator[WriteReply, None, Usage]:
    """What comes of a segment's core, and what it cost.

    A sentence that loses what must stay as it is is written a second time, with other tokens drawn,
    unless `again` says no; the text that keeps more of it is taken.
    """
    drawn = _decoding(run, core, left)
    attempt = partial(_attempt, run, core, history=history, begun=begun)
    if run.task.split != "sentences" or begun or not again or not verbatim.kept(core):
        return (yield from attempt(decoding=drawn))
    first = list(attempt(decoding=drawn))
    chosen, cost = first, _usage_of(first)
    if cost.stopped == "end" and (lost := verbatim.lost(core, _text_of(first))):
        other_draw = {"temperature": SECOND_TEMPERATURE, "seed": drawn.seed + 1}
        second = list(attempt(decoding=drawn.model_copy(update=other_draw)))
        other = _usage_of(second)
        if other.stopped == "end" and len(verbatim.lost(core, _text_of(second))) < len(lost):
            chosen, cost = second, replace(cost, logprob=other.logprob)
        cost = replace(
            cost,
            tokens=cost.tokens + other.tokens,
            prompt_tokens=cost.prompt_tokens + other.prompt_tokens,
            seconds=cost.seconds + other.seconds,
            stopped="stop" if other.stopped == "stop" else cost.stopped,
        )
    yield from (item for item in chosen if not isinstance(item, Usage))
    yield cost
    return cost


def _text_of(items: Sequence[WriteReply]) -> str:
    return "".join(item.text for item in items if isinstance(item, Delta))


def _usage_of(items: Sequence[WriteReply]) -> Usage:
    return next(item for item in items if isinstance(item, Usage))


def _attempt(
    run: StepRun, core: str, *, history: Sequence[Message], begun: str, decoding: Decoding
) -> Generator[WriteReply, None, Usage]:
    options = run.turn.options
    restorer = verbatim.Restorer(core if run.task.split == "sentences" else "")
    list_length = _list_length(run, core)
    request = WriteRequest(
        run.messages(core, history),
        run.adapter,
        decoding,
        until=options.until,
        logprobs=options.logprobs,
        grammar=options.grammar,
        batch=options.batch,
        begun=begun,
        list_length=list_length,
        stop_loops=options.stop_loops and options.grammar is None,  # whose form says when it ends
    )
    usage = OUT_OF_TOKENS
    for item in run.engine.write(request, run.turn.stop):
        match item:
            case Usage():
                as_asked = list_length and item.stopped == "until"
                usage = replace(item, stopped="end") if as_asked else item
                yield restorer.rest()
                yield usage
            case Delta():
                yield restorer.feed(item)
            case _:
                yield item
    return usage


def _list_length(run: StepRun, core: str) -> int:
    """The items that the request wants of a list, which small models go on with; 0: none is said.

    A client that says itself what ends an answer gets what it says and nothing else.
    """
    options = run.turn.options
    if not run.task.conversation or options.until or options.grammar or options.tools:
        return 0
    return list_lengths.find(core) or 0


def _segments(run: StepRun) -> Iterator[segments.Segment]:
    if run.task.split == "none" or run.turn.options.grammar:  # which is of the whole answer
        return iter([segments.Segment("", run.content, "")])
    language = run.task.source_language(run.step.slots) or "en"
    return segments.sentences(run.content, language)


def _decoding(run: StepRun, core: str, left: int) -> Decoding:
    most = min(run.decoding.max_new_tokens, left)
    if run.task.max_ratio is not None and run.turn.options.grammar is None:
        length = run.engine.count_tokens(({"role": "user", "content": core},))
        most = min(most, max(MIN_ANSWER_TOKENS, math.ceil(run.task.max_ratio * length)))
    return run.decoding.model_copy(update={"max_new_tokens": most})


def _fitting(run: StepRun) -> tuple[Sequence[Message], int]:
    """The latest turns that fit beside the request and a full answer; how many were left out."""
    if not run.task.conversation:
        return (), 0
    system = [turn for turn in run.turn.history if turn["role"] == "system"]
    turns = [turn for turn in run.turn.history if turn["role"] != "system"]
    room = run.engine.context_tokens - run.task.decoding.max_new_tokens
    if run.begun:
        room -= run.engine.count_tokens(({"role": "assistant", "content": run.begun},))

    def fits(dropped: int) -> bool:
        messages = run.messages(run.content, system + turns[dropped:])
        return run.engine.count_tokens(messages) <= room

    if fits(0):
        return system + turns, 0
    drops = [*range(2, len(turns), 2), len(turns)]  # a question leaves with its answer
    dropped = drops[min(bisect_left(drops, x=True, key=fits), len(drops) - 1)]
    return system + turns[dropped:], dropped
