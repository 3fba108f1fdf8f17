"""Draw rows that wait for review: one to decide by keyboard, and the next ones as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import get_args

from tasks.spec import SlotValue, TaskSpec
from ui.bars import label_title, percent
from ui.words import attributes, say, show
from ui.workshop_marks import draw_marks, draw_raters, draw_short_marks
from ui.workshop_view import View
from workshop.review_row import ReviewRow, Status, Why
from workshop.rows import Mark, ReviewStore

LISTED = 50  # rows shown at one time
SHOWN = 140  # characters of a text in the list


def draw_review(store: ReviewStore, tasks: Mapping[str, TaskSpec], view: View) -> str:
    """The tab."""
    counts = store.counts()
    task = view.task or None
    found = store.find("pending", task, LISTED, why=view.why, containing=view.search)
    rows = [row for row in found if row.task in tasks]
    chosen = next((row for row in rows if row.id == view.row), rows[0] if rows else None)
    marks = store.marks([row.id for row in rows])
    body = f'<p class="pb-note">{say("review.none")}</p>'
    if chosen:
        said = draw_marks(marks.get(chosen.id, {}), store, tasks[chosen.task])
        body = _row(chosen, tasks[chosen.task], said)
    if rows or view.search or view.why:
        body += _list(rows, chosen, marks, tasks=tasks, view=view)
    return (
        f"{_filters(counts, tasks, view)}{body}"
        f'<p class="pb-acts"><button type="button" class="pb-chip" data-do="collect">'
        f"{say('review.collect')}</button></p>{draw_raters(store, task)}"
    )


def _filters(
    counts: Mapping[str, Mapping[Status, int]], tasks: Mapping[str, TaskSpec], view: View
) -> str:
    total = {
        status: sum(one.get(status, 0) for one in counts.values()) for status in get_args(Status)
    }
    here: Mapping[Status, int] = counts.get(view.task, {}) if view.task else total
    shown = {str(status): here.get(status, 0) for status in get_args(Status)}
    chips = "".join(
        f'<button type="button" class="pb-chip" data-do="look" data-set-task="{escape(name)}" '
        f'data-set-row="" aria-pressed="{str(name == view.task).lower()}">'
        f"{say('review.all') if not name else show(tasks[name].title)}</button>"
        for name in ("", *tasks)
    )
    return (
        f'<p class="pb-acts">{chips}</p>'
        f'<p class="pb-soft" role="status">{say("review.counts", **shown)}</p>'
    )


def _row(row: ReviewRow, task: TaskSpec, said: Sequence[str]) -> str:
    facts = [say(f"review.why.{row.why}"), show(task.title)]
    if row.adapter:
        facts.append(say("review.by", adapter=row.adapter))
    notes = "".join(f'<p class="pb-warn" role="note">{note}</p>' for note in said)
    answered = ""
    if row.answer:
        name = show(label_title(row.answer, task)) if task.kind == "choose" else escape(row.answer)
        answered = (
            f'<p class="pb-soft">{say("review.answered")}</p><blockquote dir="auto">{name}'
            "</blockquote>"
        )
    allowed = "" if row.consent else f'<p class="pb-warn">{say("review.consent")}</p>'
    right = _labels(row, task) if task.kind == "choose" else _text(row)
    return f"""<section class="pb-review" data-row="{escape(row.id)}">
{draw_text(facts, row.slots, row.text, notes)}{answered}{allowed}
<form data-do="accept" data-id="{escape(row.id)}" autocomplete="off">{right}
<p class="pb-acts"><button type="submit" class="pb-chip pb-first" {_off(row)}>{say("review.accept")}
<kbd>Enter</kbd></button>
<button type="button" class="pb-chip" data-do="decline" data-id="{escape(row.id)}" data-key="x">
{say("review.decline")} <kbd>X</kbd></button>
<button type="button" class="pb-chip" data-do="undo" data-key="z">{say("review.undo")}
<kbd>Z</kbd></button></p>
<p class="pb-soft pb-keyline">{say("review.keys")}</p></form></section>"""


def draw_text(
    facts: Sequence[str], slots: Mapping[str, SlotValue], text: str, notes: str = ""
) -> str:
    """What a row was about.

    Args:
        facts: HTML of what is known of it.
        notes: HTML of what is to be minded.
    """
    said = [*facts]
    if slots:
        said.append(escape(", ".join(f"{name}: {_value(v)}" for name, v in slots.items())))
    return (
        f'<p class="pb-soft">{" · ".join(said)}</p>{notes}'
        f'<blockquote dir="auto" class="pb-review-text" tabindex="0">{escape(text)}</blockquote>'
    )


def _off(row: ReviewRow) -> str:
    return "" if row.consent else "disabled"


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _labels(row: ReviewRow, task: TaskSpec) -> str:
    """A numbered choice of labels; the suggested one is chosen."""
    choices = row.choices(task)
    options = "".join(
        f'<label><input type="radio" name="right" value="{escape(label)}"'
        f"{' checked' if label == row.suggested else ''}>"
        f"{f'<kbd>{number}</kbd> ' if number < 10 else ''}{show(label_title(label, task))}"
        f'<span class="pb-soft">{percent(row.labels[label]) if label in row.labels else ""}</span>'
        "</label>"
        for number, label in enumerate(choices, 1)
    )
    return f'<fieldset class="pb-labels"><legend>{say("review.right")}</legend>{options}</fieldset>'


def _text(row: ReviewRow) -> str:
    name = attributes(aria_label="review.right")
    return (
        f'<p class="pb-soft">{say("review.right")} <kbd>E</kbd></p>'
        f'<textarea name="right" rows="4" dir="auto" {name}>\n'
        f"{escape(row.suggested or row.answer)}</textarea>"
    )


def _list(
    rows: Sequence[ReviewRow],
    chosen: ReviewRow | None,
    marks: Mapping[str, Mapping[Mark, str]],
    tasks: Mapping[str, TaskSpec],
    view: View,
) -> str:
    items = "".join(
        f'<tr><td><input type="checkbox" name="ids" value="{escape(row.id)}" '
        f"{attributes(aria_label='review.list')}></td>"
        f'<td><button type="button" class="pb-plain" data-do="look" data-set-row="{escape(row.id)}"'
        f'{" aria-current=true" if row is chosen else ""} dir="auto">{escape(_short(row.text))}'
        f"</button></td><td>{say(f'review.why.{row.why}')}"
        f"{draw_short_marks(marks.get(row.id, {}))}</td>"
        f'<td dir="auto">{_answer(row, tasks[row.task])}</td></tr>'
        for row in rows
    )
    box = attributes(aria_label="review.search", placeholder="review.search")
    whys = "".join(
        f'<option value="{why}"{" selected" if why == view.why else ""} '
        f"{attributes(label=f'review.why.{why}')}></option>"
        for why in get_args(Why)
    )
    whys = f'<option value="" {attributes(label="review.any")}></option>{whys}'
    opened = " open" if view.search or view.why else ""
    return f"""<details class="pb-several"{opened}><summary>{say("review.list")}</summary>
<form data-do="several" autocomplete="off">
<p class="pb-acts"><input name="search" type="search" value="{escape(view.search)}" {box}>
<select name="why" {attributes(aria_label="review.why")}>{whys}</select>
<button type="submit" class="pb-chip" name="act" value="find">{say("review.find")}</button>
<button type="submit" class="pb-chip" name="act" value="accept">{say("review.acceptall")}</button>
<button type="submit" class="pb-chip" name="act" value="decline">{say("review.declineall")}
</button></p>
<div class="pb-scroll"><table><tbody>{items}</tbody></table></div></form></details>"""


def _answer(row: ReviewRow, task: TaskSpec) -> str:
    said = row.suggested or row.answer
    return show(label_title(said, task)) if task.kind == "choose" else escape(_short(said))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"
