"""What speaks against an answer, as a `Notice` for each.

A caution comes before the first word, a doubt about the finished text after the last. The figures
that they are held against are the task's `floors`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import regex

from adapter_store.scope import Scope
from agent import verbatim
from agent.events import Measured, Notice, StepFinished
from agent.judged_figures import figure_words
from agent.step_run import StepRun
from core.base_languages import languages_of_base, profiles_for
from tasks import languages
from tasks.spec import PROBABILITY, TaskSpec

LETTERS, HAN = (8, 9), (4, 3)  # characters of a run that is looked for; runs that make a copy
COPIED = 0.6  # of a translation's runs stand in its source
UNSHORTENED = 0.8  # of a summary's, in a text that is hardly longer


def cautions(run: StepRun, figures: Sequence[Measured]) -> Iterator[Notice]:
    """What is to be known before the first word: the weightiest of what there is."""
    if not _covered(run):
        yield _unknown_language(run) or _not_taught(run)
    elif figures and figures[0].value < run.task.floors.get(figures[0].figure, -math.inf):
        yield _below(run, figures[0])


def doubts(run: StepRun, finished: StepFinished) -> Iterator[Notice]:
    """What speaks against a finished answer."""
    if finished.stopped == "stop":
        return
    if run.task.kind == "write" and is_copied(run.task, run.content, finished.text):
        message = "This is the text that went in, and not what was asked for."
        yield Notice(run.index, "copied", message, after=True)
    least, chance = run.task.floors.get(PROBABILITY), finished.probability
    if least is not None and chance is not None and chance < least:
        percent = round(100 * chance)
        kind = "unsure" if run.task.kind == "write" else "close"
        message = (
            f"The model found its own words unlikely ({percent}% a token). Check the answer."
            if kind == "unsure"
            else f"A close call: no label has more than {percent}%."
        )
        yield Notice(run.index, kind, message, {"percent": percent}, after=True)


def is_copied(task: TaskSpec, content: str, answer: str) -> bool:
    """Whether an answer is the content again. Code, links and placeholders do not count.

    Args:
        task: one that writes; who converses may be asked to repeat most of a text.
    """
    source, written = _words(content), _words(answer)
    size, fewest = HAN if languages.HAN.search(written) else LETTERS
    if task.conversation:
        return len(written) > size and source == written
    known, runs = set(_runs(source, size)), _runs(written, size)
    if len(runs) < fewest:
        return False
    share = sum(run in known for run in runs) / len(runs)
    if task.target_slot:
        return share >= COPIED
    return share >= UNSHORTENED and len(written) >= UNSHORTENED * len(source)


def _runs(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(len(text) - size + 1)]


def _words(text: str) -> str:
    return str(regex.sub(r"[^\p{L}\p{N}]", "", verbatim.without_parts(text).casefold()))


def _covered(run: StepRun) -> bool:
    """Whether what answers was trained for such a step of this task."""
    name, adapters = run.adapter, run.engine.adapters
    if name is None:
        return False
    scope = adapters.scope(name)
    own = name in run.task.adapters or adapters.task(name) == run.task.name
    labels = run.labels() if run.task.kind == "choose" else ()
    return (own or not scope.any_task) and scope.covers(
        run.task.filled(run.step.slots), labels, run.content
    )


def _unknown_language(run: StepRun) -> Notice | None:
    """The step's language, where it is none of the base's."""
    base = run.engine.fingerprints().get("base", "")
    known = languages_of_base(base)
    code = next((code for code in _languages(run, known) if code not in known), None)
    if not known or code is None:
        return None
    name, instead = languages.name(code), profiles_for(code)
    short = base.rpartition("/")[2]
    better = f" The profile {' or '.join(instead)} has a base that does." if instead else ""
    return Notice(
        run.index,
        "unknown_language" if instead else "unknown_language_anywhere",
        f"{short} does not know {name}: expect nonsense.{better}",
        words={
            "base": short,
            "name": name,
            "name_zh": languages.name(code, "zh"),
            "instead": " / ".join(instead),
        },
    )


def _languages(run: StepRun, known: Sequence[str]) -> Iterator[str]:
    """The languages that the step is about."""
    slots = run.step.slots
    named = [run.task.target_language(slots), run.task.source_language(slots)]
    yield from filter(None, named)
    if not any(named) and not Scope(languages=list(known)).covers({}, (), run.content):
        yield languages.detect(run.content)


def _not_taught(run: StepRun) -> Notice:
    """Nothing was trained for the step, and what answers all the same."""
    title = run.task.title
    words = {"title": title.en, "title_zh": title.zh}
    if run.adapter is None and run.task.name in run.turn.options.use:
        message = (
            "The base answers by itself, as was chosen: the figures of its adapters say nothing "
            "about it."
        )
        return Notice(run.index, "base_chosen", message)
    if run.adapter is None:
        message = (
            f"No adapter is trained for this ({title.en}): the base answers by itself, and how "
            "well it does was not measured."
        )
        return Notice(run.index, "no_adapter", message, words=words)
    message = (
        f"No adapter is trained for this ({title.en}): the adapter {run.adapter} answers in its "
        "place. Expect mistakes."
    )
    return Notice(run.index, "other_adapter", message, words=words | {"adapter": run.adapter})


def _below(run: StepRun, one: Measured) -> Notice:
    floor = run.task.floors[one.figure]
    shown, least = figure_words(one.figure, one.value), figure_words(one.figure, floor)
    return Notice(
        run.index,
        "below_floor",
        f"Answers like this one often go wrong: {shown.en}, {one.texts.en}; this task asks for "
        f"{least.en}. Check the answer.",
        words={
            "shown": shown.en,
            "shown_zh": shown.zh,
            "floor": least.en,
            "floor_zh": least.zh,
            "texts": one.texts.en,
            "texts_zh": one.texts.zh,
        },
    )
