"""Draw why something in the workshop cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from core.errors import PatchbayError
from core.statement import Statement
from tasks.spec import Both
from ui.statements import in_both
from ui.words import phrase, say, show, words
from workshop.refusal import Refusal

NOTES_SHOWN = 5  # of a file's


def draw_refusal(error: PatchbayError) -> str:
    """A sentence in the page's language; of what has none in Chinese, the English one below it."""
    if isinstance(error, Refusal):
        return _alert(in_both([error.said]))
    general = f"error.{type(error).__name__}"
    general = general if general in words() else "error.other"
    detail = (
        f'<details class="pb-detail"><summary>{say("error.detail")}</summary>'
        f'<p lang="en">{escape(str(error))}</p></details>'
    )
    return _alert(Both(en=str(error), zh=phrase(general).zh), detail)


def draw_left_out(notes: Sequence[Sequence[Statement]]) -> str:
    """What a file's reading said; the first few, and how many more there are."""
    if not notes:
        return ""
    items = "".join(f"<li>{show(in_both(note))}</li>" for note in notes[:NOTES_SHOWN])
    if len(notes) > NOTES_SHOWN:
        items += f"<li>{say('review.more_notes', count=len(notes) - NOTES_SHOWN)}</li>"
    return f'<ul class="pb-warn pb-left-out" role="note">{items}</ul>'


def _alert(both: Both, detail: str = "") -> str:
    return f'<div class="pb-table-error" role="alert"><p>{show(both)}</p>{detail}</div>'
