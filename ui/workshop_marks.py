"""Draw what speaks against rows under review: their marks, raters who disagree with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from tasks.spec import TaskSpec
from ui.bars import label_title
from ui.words import say, show
from workshop.rows import Mark, ReviewStore


def draw_marks(marks: Mapping[Mark, str], store: ReviewStore, task: TaskSpec) -> list[str]:
    """What is marked at a row, each in a sentence."""
    return [_mark(mark, said, store, task) for mark, said in marks.items()]


def draw_short_marks(marks: Mapping[Mark, str]) -> str:
    """The same in a word or two each, for a list."""
    return "".join(f' · <span class="pb-warn">{say(f"mark.{one}.short")}</span>' for one in marks)


def draw_raters(store: ReviewStore, task: str | None) -> str:
    """Raters whose rows disagree with the rest, and those who are left out."""
    odd = [
        _rater(rater, say("raters.odd", **_share(said)), ("leave_out", "again"))
        for rater, said in store.odd_raters(task).items()
    ]
    out = [_rater(name, say("raters.out"), ("take_in", "again")) for name in store.left_out()]
    if not odd and not out:
        return ""
    return (
        f'<section class="pb-facts"><h3>{say("raters.title")}</h3>'
        f'<ul class="pb-raters">{"".join([*odd, *out])}</ul></section>'
    )


def _mark(mark: Mark, said: str, store: ReviewStore, task: TaskSpec) -> str:
    if mark == "suspect":
        return f"{say('mark.suspect')} <b>{show(label_title(said, task))}</b>"
    if mark == "duplicate":
        text = store.get(said).text if store.known([said]) else said
        return f"{say('mark.duplicate')} <q>{escape(text)}</q>"
    if mark == "rater":
        return say("mark.rater", **_share(said))
    return say(f"mark.{mark}", said=said)


def _share(said: str) -> dict[str, str]:
    """Of "3 of 5", as a rater's mark says it."""
    against, _, rows = said.partition(" of ")
    return {"against": against, "rows": rows}


def _rater(rater: str, said: str, acts: tuple[str, ...]) -> str:
    buttons = "".join(
        f'<button type="button" class="pb-chip" data-do="{act}" data-rater="{escape(rater)}">'
        f"{say(f'raters.{act}')}</button>"
        for act in acts
    )
    return f'<li><span><b dir="auto">{escape(rater)}</b>: {said}</span>{buttons}</li>'
