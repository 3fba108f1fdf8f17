"""Draw a choice: a bar for each label, and the words that carried the decision."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tasks.spec import Both, TaskSpec
from ui.conversation import StepView
from ui.words import say, show

MIN_WEIGHT = 0.004  # of probability; what carries less is not shown


def draw_bars(step: StepView, task: TaskSpec | None) -> str:
    """The labels, most likely first, as bars with percentages, then the highlighted text."""
    best = max(step.labels, key=lambda label: step.labels[label], default="")
    rows = "".join(
        f"<li{' class=pb-best' if label == best else ''}>"
        f'<span class="pb-label">{show(label_title(label, task))}</span>'
        f'<span class="pb-bar"><i style="width:{100 * _share(chance):.1f}%"></i></span>'
        f'<span class="pb-number">{percent(chance)}</span></li>'
        for label, chance in step.labels.items()
    )
    listed = f'<ul class="pb-bars">{rows}</ul>'
    return f'<div class="pb-choice"><span class="pb-hidden">{say("bars.label")}</span>{listed}' + (
        f"{draw_words(step.pieces)}</div>"
    )


def label_title(label: str, task: TaskSpec | None) -> Both:
    """A label's name in both languages; one of the person's own is left as it is."""
    title = task.labels.get(label) if task else None
    return title or Both(en=label, zh=label)


def percent(chance: float) -> str:
    """A percentage that never rounds to certainty: `<1%`, `>99%`."""
    if 0 < chance < 0.005:
        return "&lt;1%"
    if 0.995 <= chance < 1:
        return "&gt;99%"
    return f"{100 * _share(chance):.0f}%"


def draw_words(pieces: Sequence[tuple[str, float]]) -> str:
    """The text with each piece tinted by its weight: for the decision or against it."""
    strongest = max((abs(weight) for _, weight in pieces), default=0.0)
    if strongest < MIN_WEIGHT:
        return ""
    marked = "".join(_mark(text, weight, strongest) for text, weight in pieces)
    legend = (
        f'<span class="pb-legend"><b class="pb-for">{say("words.for")}</b>'
        f'<b class="pb-against">{say("words.against")}</b></span>'
    )
    return (
        f'<div class="pb-words"><p class="pb-caption">{say("words.label")}{legend}</p>'
        f'<p class="pb-marked" dir="auto">{marked}</p></div>'
    )


def _mark(text: str, weight: float, strongest: float) -> str:
    strength = abs(weight) / strongest
    if abs(weight) < MIN_WEIGHT or strength < 0.08:
        return escape(text)
    core = text.strip()
    before, after = text[: text.index(core)], text[text.index(core) + len(core) :]
    side = "pb-for" if weight > 0 else "pb-against"
    points = f"{100 * weight:+.0f}"
    return (
        f'{escape(before)}<mark class="{side}" style="--strength:{strength:.2f}" '
        f'title="{points}%">{escape(core)}</mark>{escape(after)}'
    )


def _share(chance: float) -> float:
    return min(1.0, max(0.0, chance))
