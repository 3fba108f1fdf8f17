"""Draw a row whose two answers are compared blind: nothing in it says whose is whose."""

from __future__ import annotations

from html import escape

from tasks.spec import TaskSpec
from ui.words import say, show
from ui.workshop_review import draw_text
from workshop.blind_comparisons import BlindComparisons, BlindRow, Choice

KEYS: dict[Choice, str] = {"first": "1", "second": "2", "tie": "0 t"}


def draw_compare(comparisons: BlindComparisons, task: TaskSpec, line: str) -> str:
    """The tab while rows are compared.

    Args:
        line: of the row that is; "" where none is left.
    """
    job = escape(comparisons.found.folder.name)
    row = comparisons.row(int(line)) if line.isdecimal() else None
    body = _card(row, task, comparisons) if row else _without(comparisons, job)
    return (
        f'{body}<p class="pb-acts"><button type="button" class="pb-chip" data-do="look" '
        f'data-set-compare="" data-set-job="{job}">{say("compare.back")}</button></p>'
    )


def _card(row: BlindRow, task: TaskSpec, comparisons: BlindComparisons) -> str:
    compared, rows = len(comparisons.winners), len(comparisons.rows)
    text = draw_text([show(task.title)], row.slots, row.text)
    answers = "".join(
        f'<div><blockquote dir="auto">{escape(answer)}</blockquote>'
        f"{_button(row, comparisons, choice, ' pb-first')}</div>"
        for choice, answer in _answers(row)
    )
    return f"""<section class="pb-review" data-row="{row.line}">
<p class="pb-soft" role="status">{say("compare.count", compared=compared, rows=rows)}</p>
{text}<div class="pb-answers">{answers}</div>
<p class="pb-acts">{_button(row, comparisons, "tie")}{_undo(comparisons)}</p>
<p class="pb-soft pb-keyline">{say("compare.keys")}</p></section>"""


def _answers(row: BlindRow) -> tuple[tuple[Choice, str], ...]:
    return ("first", row.first), ("second", row.second)


def _button(row: BlindRow, comparisons: BlindComparisons, choice: Choice, look: str = "") -> str:
    return (
        f'<button type="button" class="pb-chip{look}" data-do="choose" data-choice="{choice}" '
        f'data-id="{row.line}" data-job="{escape(comparisons.found.folder.name)}" '
        f'data-key="{KEYS[choice]}">{say(f"compare.{choice}")} <kbd>{KEYS[choice][0]}</kbd>'
        "</button>"
    )


def _undo(comparisons: BlindComparisons) -> str:
    return (
        f'<button type="button" class="pb-chip" data-do="unchoose" data-key="z" '
        f'data-job="{escape(comparisons.found.folder.name)}">{say("review.undo")} <kbd>Z</kbd>'
        "</button>"
    )


def _without(comparisons: BlindComparisons, job: str) -> str:
    """No row is shown: all are compared, or the one that was is gone."""
    if not comparisons.left:
        return (
            f'<section class="pb-review"><p class="pb-note">{say("compare.none")}</p>'
            f'<p class="pb-acts">{_undo(comparisons)}</p></section>'
        )
    return (
        f'<p class="pb-acts"><button type="button" class="pb-chip pb-first" data-do="compare" '
        f'data-job="{job}">{say("compare.next")}</button></p>'
    )
