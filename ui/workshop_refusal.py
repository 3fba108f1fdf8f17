"""Draw why something in the workshop cannot be done."""

from __future__ import annotations

from html import escape

from core.errors import PatchbayError
from tasks.spec import Both
from ui.statements import in_both
from ui.words import phrase, say, show, words
from workshop.refusal import Refusal


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


def _alert(both: Both, detail: str = "") -> str:
    return f'<div class="pb-table-error" role="alert"><p>{show(both)}</p>{detail}</div>'
