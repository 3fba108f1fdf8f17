"""Draw what a disliked answer asks for, and needs not: what was wrong, and a better answer."""

from __future__ import annotations

from html import escape

from ui.conversation import TurnView
from ui.words import say


def draw_better(turn: TurnView) -> str:
    """A form, folded until it is wanted; the script opens it where an answer is disliked.

    Nothing for an answer that is not disliked.
    """
    if turn.rating != -1:
        return ""
    kept = turn.wrong or turn.better
    title = say("better.kept" if kept else "better.title")
    wrong, better = f"pb-wrong-{escape(turn.id)}", f"pb-better-{escape(turn.id)}"
    return (
        f'<details class="pb-better"><summary>{title}</summary>'
        f'<form data-turn="{escape(turn.id)}" autocomplete="off">'
        f'<label for="{wrong}">{say("better.wrong")}</label>'
        f'<textarea id="{wrong}" name="wrong" rows="1" dir="auto">\n{escape(turn.wrong)}</textarea>'
        f'<label for="{better}">{say("better.better")}</label>'
        f'<textarea id="{better}" name="better" rows="3" dir="auto">\n{escape(turn.better)}'
        f'</textarea><p><button type="submit" class="pb-chip">{say("better.keep")}</button>'
        f'<button type="button" class="pb-plain" data-act="close">{say("better.close")}</button>'
        f'<span class="pb-soft">{say("better.where")}</span></p></form></details>'
    )
