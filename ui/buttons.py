"""Draw the buttons at a turn: what one does is its `data-act`, a name among the script's acts."""

from __future__ import annotations

from html import escape

from ui.conversation import TurnView
from ui.icons import icon
from ui.words import say


def icon_button(act: str, turn: TurnView, name: str, **more: str) -> str:
    """An icon button; its name is its tooltip, too."""
    done = f'<span class="pb-tip pb-done">{say("act.copied")}</span>' if act == "copy" else ""
    extra = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in more.items())
    return (
        f'<button type="button" class="pb-act" data-act="{act}" data-turn="{escape(turn.id)}"'
        f'{extra}>{icon(act)}<span class="pb-tip">{say(name)}</span>{done}</button>'
    )


def plain_button(act: str, turn: TurnView, name: str) -> str:
    """A button of words."""
    return (
        f'<button type="button" class="pb-plain" data-act="{act}" data-turn="{escape(turn.id)}">'
        f"{say(name)}</button>"
    )
