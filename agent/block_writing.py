"""A text that came as files is worked on block by block, so that they can be written anew."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from agent import segments, verbatim
from agent.cleaning import clean_or_none
from agent.events import AT_BEGIN, BlockTexts, Event, Notice, Place, Progress, TextDelta
from agent.formatting import found_again
from agent.line_breaks import unbroken
from agent.pace import Pace
from agent.step_run import StepRun, finished
from agent.writing import MANY, OUT_OF_TOKENS, looped_notice, not_kept_notice, write_core
from documents import Block, framed_together, joined
from documents.inline_tags import TAG, untagged
from engine.interface import Delta, PrefillProgress, Usage

GIVEN_UP = {"stop", "time", "until"}  # ends of a sentence behind which none is begun


def works_on_files(run: StepRun) -> bool:
    """Whether the step's text is that of the turn's files, and its task takes single sentences.

    Log-likelihoods, and a grammar, are of a text that is written in one go.
    """
    options, documents = run.turn.options, run.turn.documents
    if run.task.split != "sentences" or options.grammar or options.logprobs is not None:
        return False
    return bool(documents) and clean_or_none(joined(documents)) == run.content


@dataclass
class _Written:
    """What the files have become so far.

    Attributes:
        text: as it is shown.
        blocks: as they are written back.
        sentences: of the block in the making.
        place: where the block in the making begins, in numbers of blocks and characters of text.
    """

    text: str
    blocks: list[str]
    sentences: list[str]
    pace: Pace
    place: Place = AT_BEGIN
    usages: list[Usage] = field(default_factory=list)
    done: int = 0  # sentences

    @property
    def ended(self) -> bool:
        """Whether the person or a limit ended it."""
        last = self.usages[-1] if self.usages else None
        return last is OUT_OF_TOKENS or (last is not None and last.stopped in GIVEN_UP)


def write_blocks(run: StepRun) -> Iterator[Event]:
    """Yield the events of a step that works on files, behind StepStarted."""
    frames = list(framed_together(run.turn.documents))
    owners = [document for document in run.turn.documents for _ in document.blocks]
    cut = [_cut(run, frame.block) for frame in frames]
    pace = Pace(run.index, sum(bool(segment.core) for parts in cut for segment in parts))
    stands = (run.begun and run.turn.begun and run.turn.begun.blocks) or BlockTexts(run.index, ())
    text = run.begun[: run.place.text]
    done = _Written(text, list(stands.texts), list(stands.sentences), pace)
    if done.text:
        yield TextDelta(run.index, done.text)
    done.done = sum(bool(one.core) for parts in cut[: len(done.blocks)] for one in parts)
    for number in range(len(done.blocks), len(frames)):
        frame, owner = frames[number], owners[number]
        done.place = Place(number, len(done.text))
        _, broken = unbroken(frame.block)
        given = broken((yield from _worked_on(run, cut[number], done)))
        shown = frame.around(owner.untagged(frame.block, given))
        yield TextDelta(run.index, shown)
        done.text += shown
        if done.ended:
            break
        done.blocks.append(given)
        done.sentences = []
    yield from _end(run, [frame.block for frame in frames], done)


def _cut(run: StepRun, block: Block) -> list[segments.Segment]:
    """A block's sentences. Code is none."""
    if block.kind == "code":
        return [segments.Segment(block.given, "", "")]
    text, _ = unbroken(block)
    return list(segments.sentences(text, run.task.source_language(run.step.slots) or "en"))


def _worked_on(
    run: StepRun, parts: Sequence[segments.Segment], done: _Written
) -> Generator[Event, None, str]:
    """What becomes of a block; as far as it came where `done.ended`."""
    made, stand = "", deque(done.sentences)
    for part in parts:
        made += part.before
        done.done += bool(part.core)
        if part.core and stand:
            made += stand.popleft()
        elif part.core:
            if done.pace.total >= MANY:
                yield done.pace.begins(done.done)
            left = run.tokens_left - sum(usage.tokens for usage in done.usages)
            if left <= 0:
                done.usages.append(OUT_OF_TOKENS)
                return made
            sentence = yield from _sentence(run, part.core, left, done)
            made += sentence
            if done.ended:
                return made
            done.sentences.append(sentence)
        made += part.after
    return made


def _sentence(run: StepRun, core: str, left: int, done: _Written) -> Generator[Event, None, str]:
    made = ""
    for item in write_core(run, core, left=left):
        match item:
            case Usage():
                out = item.stopped == "length" and item.tokens >= left
                done.usages += [item, OUT_OF_TOKENS] if out else [item]
            case Delta():
                made += item.text
            case PrefillProgress():
                yield Progress(run.index, "prompt", item.read, item.prompt_tokens)
    if done.ended:
        return made.strip()
    return found_again(core, made.strip(), partial(_words, run, left=left, done=done))


def _words(run: StepRun, words: str, *, left: int, done: _Written) -> str:
    """What becomes of some words of a sentence alone."""
    items = list(write_core(run, words, left=left, again=False))
    done.usages += [item for item in items if isinstance(item, Usage)]
    return "".join(item.text for item in items if isinstance(item, Delta)).strip()


def _end(run: StepRun, blocks: Sequence[Block], done: _Written) -> Iterator[Event]:
    looped = sum(usage.stopped == "loop" for usage in done.usages)
    if looped:
        yield looped_notice(run.index, looped)
    losses = [_losses(block, text) for block, text in zip(blocks, done.blocks, strict=False)]
    if lost := [part for loss in losses for part in loss.parts]:
        yield not_kept_notice(run.index, lost)
    if plain := [words for loss in losses for words in loss.plain]:
        said = ", ".join(plain)
        message = f"Formatted in the file, but not in this answer: {said}"
        yield Notice(run.index, "format_lost", message, words={"lost": said}, after=True)
    if moved := sum(loss.moved for loss in losses):
        message = f"Pictures, breaks and note marks that stand at a paragraph's end now: {moved}."
        yield Notice(run.index, "marks_moved", message, {"count": moved}, after=True)
    text = done.text if done.ended else done.text.strip()
    usages = done.usages
    if usages and not done.ended:
        usages = [*usages[:-1], replace(usages[-1], stopped="end")]
    yield finished(run, text, usages, place=done.place)
    told = (
        (number, part) for number, loss in enumerate(losses) for part in [*loss.parts, *loss.plain]
    )
    yield BlockTexts(run.index, tuple(done.blocks), tuple(told), tuple(done.sentences))


@dataclass(frozen=True)
class _Losses:
    """What a block's text lacks.

    Attributes:
        parts: what had to stay as it is.
        plain: words that were formatted.
        moved: how many marks without words.
    """

    parts: list[str]
    plain: list[str]
    moved: int


def _losses(block: Block, text: str) -> _Losses:
    lost = verbatim.lost(block.given, text)
    tags = [tag for part in lost if block.tagged and (tag := TAG.fullmatch(part))]
    groups = sorted({int(tag["group"]) for tag in tags if tag["group"]})
    words = (re.search(rf"<g{group}>(.*?)</g{group}>", block.given, re.S) for group in groups)
    return _Losses(
        parts=[part for part in lost if not (block.tagged and TAG.fullmatch(part))],
        plain=[said for match in words if match and (said := untagged(match[1]).strip())],
        moved=sum(bool(tag["mark"]) for tag in tags),
    )
