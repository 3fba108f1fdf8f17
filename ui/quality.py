"""How sure a route is, and what to expect of its answer, drawn for the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from agent.events import Measured
from agent.judged_figures import figure_words
from core.errors import UnknownName
from tasks import languages
from tasks.spec import Both, TaskSpec
from ui.bars import percent
from ui.conversation import NoticeView, StepView
from ui.words import say, show, words

SURE, LIKELY = 0.95, 0.8  # calibrated probability of a route
DECIDED = {"command", "chosen", "picked", "abilities"}  # not by a probability


def sureness(confidence: float, reason: str) -> str:
    """How sure the route is, in words; the number is its tooltip."""
    if reason in DECIDED:
        return f'<span class="pb-trust">{say(f"reason.{reason}")}</span>'
    level = "sure" if confidence >= SURE else "likely" if confidence >= LIKELY else "unsure"
    return f'<span class="pb-trust" title="{percent(confidence)}">{say(f"trust.{level}")}</span>'


def expected(step: StepView, task: TaskSpec | None) -> str:
    """What to expect of the answer: the judged figure that is nearest to it."""
    if not step.measured:
        key = "quality.unmeasured" if step.adapter else "quality.base"
        return f'<span class="pb-expect">{say(key)}</span>'
    one = step.measured[0]
    low = " pb-low" if task and one.value < task.floors.get(one.figure, one.value) else ""
    pair = _pair(step, task)
    figure, texts = figure_words(one.figure, one.value), one.texts
    said = Both(en=f"{figure.en}, {texts.en}", zh=f"{texts.zh}，{figure.zh}")
    return f'<span class="pb-expect{low}" title="{_interval(one)}">{pair}{show(said)}</span>'


def draw_notices(notices: Sequence[NoticeView], after: bool) -> str:
    """Those that stand before the text, or under it."""
    return "".join(_notice(note) for note in notices if note.after == after)


def _notice(note: NoticeView) -> str:
    key, warns = f"notice.{note.kind}", " pb-warn" if note.kind in WARNINGS else ""
    if key not in words():
        return f'<p class="pb-note{warns}">{escape(note.message)}</p>'
    given = note.words
    chinese = {name: given.get(f"{name}_zh", value) for name, value in given.items()}
    both = words()[key]
    said = Both(
        en=both.en.format(**note.numbers, **given), zh=both.zh.format(**note.numbers, **chinese)
    )
    return f'<p class="pb-note{warns}">{show(said)}</p>'


WARNINGS = {  # that stand out
    "unknown_language",
    "unknown_language_anywhere",
    "no_adapter",
    "base_chosen",
    "other_adapter",
    "below_floor",
    "copied",
    "unsure",
    "looped",
}


def _interval(one: Measured) -> str:
    low, high = (figure_words(one.figure, value).en.split()[-1] for value in (one.low, one.high))
    return escape(f"95%: {low} – {high}, n = {one.rows:,}")


def _pair(step: StepView, task: TaskSpec | None) -> str:
    """`English to French: ` for a step that translates."""
    source = task.source_language(step.slots) if task else None
    target = task.target_language(step.slots) if task else None
    if not source or not target:
        return ""
    try:
        names = [Both(en=languages.name(c), zh=languages.name(c, "zh")) for c in (source, target)]
    except (LookupError, ValueError, UnknownName):
        return ""
    both = words()["quality.pair"]
    en, zh = both.en.format(*(n.en for n in names)), both.zh.format(*(n.zh for n in names))
    return show(Both(en=en, zh=zh))
