"""Draw what an answer about files offers beside its text: side by side, and each file anew."""

from __future__ import annotations

from html import escape
from pathlib import Path

from documents import WRITABLE
from ui.conversation import TurnView
from ui.icons import icon
from ui.words import say


def draw_translated_files(turn: TurnView, step: int, language: str | None) -> str:
    """The buttons; the script has the blocks of both sides, and the files.

    Args:
        step: number of the one that worked on the files.
        language: ISO 639-1 code, for the names of the new files.
    """
    at = f'data-turn="{escape(turn.id)}" data-step="{step}"'
    buttons = (
        f'<button type="button" class="pb-plain" data-act="beside" {at}>'
        f"{icon('beside')}{say('beside.open')}</button>"
    )
    for number, document in enumerate(turn.documents):
        if document.format in WRITABLE:
            name = new_name(document.name, language)
            buttons += (
                f'<button type="button" class="pb-plain" data-act="download" {at} '
                f'data-file="{number}" data-name="{escape(name)}">{icon("download")}'
                f'<span dir="auto">{escape(name)}</span></button>'
            )
    gone = f'<span class="pb-gone">{say("download.gone")}</span><span class="pb-failed"></span>'
    fault = f'<p class="pb-fault" role="alert" hidden>{gone}</p>'
    return f'<div class="pb-translated">{buttons}{fault}</div>'


def new_name(name: str, language: str | None) -> str:
    """`letter.fr.docx` of `letter.docx`."""
    path = Path(name)
    return f"{path.stem}.{language or 'new'}{path.suffix}"


def draw_beside() -> str:
    """The frame of the view side by side; the script fills it."""
    return f"""<dialog id="pb-beside"><header><h2 dir="auto"></h2>
<button type="button" class="pb-act" data-act="besides">{icon("close")}
<span class="pb-tip">{say("beside.close")}</span></button></header>
<div class="pb-pairs" role="table"></div>
<template id="pb-pair"><div class="pb-pair" role="row"><p role="cell" dir="auto"></p>
<p role="cell" dir="auto"></p><p class="pb-note" role="cell">{say("beside.lost")}: <b></b></p></div>
</template></dialog>"""
