"""A text that is longer than what a step reads: it is read in parts, and their results are joined.

A task says so in its `parts`. What writes is asked again about the parts' answers until there are
as many as are wanted; what chooses gives each part its vote. No part is left out unsaid.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from agent.choosing import probabilities, score_labels
from agent.events import AT_BEGIN, Event, Notice, Place, Source, Sources, TextDelta
from agent.pace import Pace
from agent.parts import Span, cut, sentences
from agent.sources import Places
from agent.step_run import StepRun, finished
from agent.writing import OUT_OF_TOKENS, looped_notice, write_core
from core.errors import TooLong
from engine.interface import Delta, Usage
from tasks import languages

T = TypeVar("T")
MAX_PARTS = 1000
ROOM_FOR_ANSWER = 256  # tokens
LONG_TOKEN = 16  # characters; texts have shorter ones on average


def is_long(run: StepRun) -> bool:
    """Whether the step's text is longer than what its task reads at once, and may be cut.

    A grammar, and log-likelihoods, are of one answer that is written at once.
    """
    options = run.turn.options
    if run.task.parts is None or options.grammar or options.logprobs is not None:
        return False
    if run.task.count(run.step.slots):  # which a small model does not keep to
        return True
    most = min(_of_choice(run, run.task.parts.shorter, run.task.parts.above), _room(run))
    beginning = run.content[: max(0, most) * LONG_TOKEN]  # a book is not counted to its end
    return _count(run, beginning) > most or (
        len(beginning) < len(run.content) and _count(run, run.content) > most
    )


def answer(run: StepRun) -> Iterator[Event]:
    """Yield the events of a step on a long text, behind StepStarted.

    Raises:
        TooLong: there are too many parts.
    """
    assert run.task.parts
    language = languages.detect(run.content)
    frame = _count(run, "")  # which every count has
    most = _most(run)
    count = run.task.count(run.step.slots)
    in_parts = partial(
        cut,
        run.content,
        language,
        most,
        count=lambda text: _count(run, text) - frame,
        pieces=count or _of_choice(run, run.task.parts.pieces, 1),
        exactly=count is not None,
    )
    pieces = in_parts(size=_of_choice(run, run.task.parts.shorter, most))
    if _number(pieces) > MAX_PARTS:
        pieces = in_parts(size=most)
    if (parts := _number(pieces)) > MAX_PARTS:
        raise TooLong(
            f"The text has {parts:,} parts of {most:,} tokens; at most {MAX_PARTS:,} "
            "are read. Send it in several requests."
        )
    places = Places(run.content, language, _pages(run))
    yield from (_choose if run.task.kind == "choose" else _write)(run, pieces, places)


def _number(pieces: Sequence[Sequence[Span]]) -> int:
    return sum(len(piece) for piece in pieces)


def _pages(run: StepRun) -> list[tuple[int, int]]:
    """Where each page of the turn's documents begins in the text, with its number."""
    at, begins = 0, list[tuple[int, int]]()
    for block in (block for document in run.turn.documents for block in document.blocks):
        found = -1 if block.page is None else run.content.find(block.text, at)
        if block.page is not None and found >= 0:
            at = found
            if not begins or begins[-1][1] != block.page:
                begins.append((at, block.page))
    return begins


def _count(run: StepRun, text: str) -> int:
    return run.engine.count_tokens(({"role": "user", "content": text},))


def _most(run: StepRun) -> int:
    """Tokens of a part: as many as the task reads well, and as fit."""
    assert run.task.parts
    return max(1, min(run.task.parts.tokens, _room(run)))


def _room(run: StepRun) -> int:
    """Tokens that fit beside prompt and answer."""
    prompt = run.engine.count_tokens(run.messages(""))
    return run.engine.context_tokens - prompt - ROOM_FOR_ANSWER


@dataclass
class _Written:
    """What a text in parts has become so far.

    Attributes:
        pieces: where each piece stands in the answer, and the part of the text it was made of.
        tokens: of the pieces.
        begun: what an answer that is gone on with has of the piece that is next.
        usages: of all that was asked.
    """

    text: str
    pace: Pace
    pieces: list[tuple[Span, Span]] = field(default_factory=list)
    read: int = 0
    tokens: int = 0
    begun: str = ""
    usages: list[Usage] = field(default_factory=list)
    place: Place = AT_BEGIN

    @property
    def cut_short(self) -> bool:
        """Whether the person or a limit of the whole answer ended it."""
        last = self.usages[-1] if self.usages else None
        return last is OUT_OF_TOKENS or (last is not None and last.stopped in {"stop", "time"})


def _write(run: StepRun, pieces: Sequence[Sequence[Span]], places: Places) -> Iterator[Event]:
    assert run.task.parts
    parts = _number(pieces)
    mark = _of_choice(run, run.task.parts.marks, "")
    done = _Written(run.begun[: run.place.text], Pace(run.index, parts), place=run.place)
    if done.text:
        yield TextDelta(run.index, done.text)
        done.pieces.append((Span(0, len(done.text)), Span(0, run.place.content)))
    done.begun = run.begun[run.place.text :].lstrip().removeprefix(mark)
    count = run.task.count(run.step.slots)
    for group in pieces:
        source = Span(group[0].begin, group[-1].end)
        if source.end <= run.place.content:  # it was written before
            done.read += len(group)
            continue
        done.place, read = Place(source.begin, len(done.text)), done.read
        piece = yield from _condensed(run, group, done)
        if done.cut_short:
            break
        if count and not mark:  # sentences were counted
            piece = _first_sentence(piece)
        used = done.usages[-1]
        if done.tokens and done.tokens + used.tokens > run.tokens_left:
            done.read = read
            done.usages.append(OUT_OF_TOKENS)
            break
        done.tokens += used.tokens
        apart = ("\n" if mark else " " if done.text[-1:].isascii() else "") if done.text else ""
        yield TextDelta(run.index, f"{apart}{mark}{piece}")
        begin = len(done.text) + len(apart) + len(mark)
        done.text += f"{apart}{mark}{piece}"
        done.pieces.append((Span(begin, len(done.text)), source))
        if used.stopped == "length" and done.tokens >= run.tokens_left:
            done.usages.append(OUT_OF_TOKENS)
            break
    yield from _end(run, done, pieces, places)


def _end(
    run: StepRun, done: _Written, pieces: Sequence[Sequence[Span]], places: Places
) -> Iterator[Event]:
    looped = sum(usage.stopped == "loop" for usage in done.usages)
    if looped:
        yield looped_notice(run.index, looped)
    count = run.task.count(run.step.slots)
    if count and len(pieces) < count:  # each is a sentence then
        numbers = {"sentences": len(pieces), "count": count}
        message = f"The text has {len(pieces)} sentences, too few for {count}."
        yield Notice(run.index, "fewer", message, numbers, after=True)
    usages = [*done.usages[:-1], replace(done.usages[-1], stopped="end")]
    result = finished(run, done.text, done.usages if done.cut_short else usages, place=done.place)
    assert run.task.parts
    prints = {**result.fingerprints, "parts": run.task.parts.fingerprint}
    yield replace(result, fingerprints=prints, answer_tokens=done.tokens)
    language = languages.detect(done.text)
    found = [
        Source(sentence.begin, sentence.end, places.find(sentence.of(done.text), source))
        for piece, source in done.pieces
        for sentence in sentences(done.text, piece, language)
        if sentence.of(done.text).strip()
    ]
    yield Sources(run.index, done.read, _number(pieces), tuple(found))


def _condensed(run: StepRun, group: Sequence[Span], done: _Written) -> Generator[Event, None, str]:
    """A group of parts as one piece of the answer; unfinished where `done.cut_short` says so."""
    assert run.task.parts
    whole = group[-1].end - group[0].begin >= len(run.content.rstrip())
    alone = whole and not run.task.count(run.step.slots)
    texts: list[str] = []
    for span in group:
        yield done.pace.begins(done.read + 1)
        slots = run.task.parts.slots
        texts.append(_asked(run, span.of(run.content), slots, done, last=len(group) == 1))
        if done.cut_short:
            return ""
        done.read += 1
    while len(texts) > 1:
        bundles = _bundles(run, texts)
        last = len(bundles) == 1
        slots = {} if alone and last else run.task.parts.slots
        texts = [
            _asked(run, "\n".join(bundle), slots, done=done, last=last)
            if len(bundle) > 1
            else bundle[0]
            for bundle in bundles
            if not done.cut_short
        ]
    return texts[0]


def _asked(run: StepRun, text: str, slots: Mapping[str, str], done: _Written, last: bool) -> str:
    """What the task answers to a part of the text, or to the answers of several.

    The last answer for a piece is the piece: it may be begun, and the limit is of it alone.
    """
    step = replace(run.step, slots={**run.step.slots, **slots})
    asked = replace(run, step=step, content=text, begun="")
    answer, left = "", sys.maxsize
    if last:
        answer, left, done.begun = done.begun, run.tokens_left, ""
    for item in write_core(asked, text.strip(), left=left, begun=answer):
        if isinstance(item, Usage):
            done.usages.append(item)
        elif isinstance(item, Delta):
            answer += item.text
    return " ".join(answer.split())


def _first_sentence(text: str) -> str:
    found = sentences(text, Span(0, len(text)), languages.detect(text))
    return next(found, Span(0, 0)).of(text).strip()


def _bundles(run: StepRun, texts: Sequence[str]) -> list[list[str]]:
    """Neighbours that are read together: as many as fit, and two at least."""
    bundles: list[list[str]] = [[]]
    for text in texts:
        fits = _count(run, "\n".join([*bundles[-1], text])) <= _most(run)
        if len(bundles[-1]) > 1 and not fits:
            bundles.append([])
        bundles[-1].append(text)
    return bundles


def _of_choice(run: StepRun, values: Mapping[str, T], default: T) -> T:
    """What the task's `parts` say of the choice that a slot of the step has."""
    slots = run.task.filled(run.step.slots).values()
    chosen = (value for value in slots if isinstance(value, str) and value in values)
    return next((values[value] for value in chosen), default)


def _choose(run: StepRun, pieces: Sequence[Sequence[Span]], places: Places) -> Iterator[Event]:
    parts = [part for piece in pieces for part in piece]
    usages: list[Usage] = []
    votes: list[tuple[Source, dict[str, float], int]] = []
    pace = Pace(run.index, len(parts))
    for number, span in enumerate(parts, 1):
        yield pace.begins(number)
        choice = score_labels(run, span.of(run.content).strip())
        usages.append(choice.usage)
        if choice.usage.stopped != "end":
            break
        chances = probabilities(run, choice)
        best = next(iter(chances))
        source = Source(0, 0, places.place(span), label=best, probability=chances[best])
        votes.append((source, chances, _count(run, span.of(run.content))))
    labels = _together(votes)
    result = finished(run, next(iter(labels), ""), usages, labels)
    assert run.task.parts
    yield replace(result, fingerprints={**result.fingerprints, "parts": run.task.parts.fingerprint})
    yield Sources(run.index, len(votes), len(parts), tuple(source for source, _, _ in votes))


def _together(votes: Sequence[tuple[Source, dict[str, float], int]]) -> dict[str, float]:
    """The parts' probabilities as one, each weighing as much as its part is long."""
    total = sum(tokens for _, _, tokens in votes)
    sums: dict[str, float] = {}
    for _, chances, tokens in votes:
        for label, chance in chances.items():
            sums[label] = sums.get(label, 0.0) + chance * tokens / total
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
