"""Draw the way between the versions of a turn, and to turns that are not drawn."""

from __future__ import annotations

from html import escape

from ui.conversation import DRAWN, TurnView
from ui.icons import icon
from ui.words import say


def draw_versions(turn: TurnView) -> str:
    """Which version of the turn this is, between arrows; nothing where it is the only one."""
    if turn.versions < 2:
        return ""
    back = _arrow(turn, "previous", -1, turn.version > 1)
    on = _arrow(turn, "next", 1, turn.version < turn.versions)
    place = say("version.place", n=turn.version, of=turn.versions)
    return f'<span class="pb-versions">{back}<span class="pb-number">{place}</span>{on}</span>'


def draw_earlier(count: int) -> str:
    """The button for turns above the first that is drawn; nothing where there are none."""
    if not count:
        return ""
    said = say("version.earlier", n=min(count, DRAWN), of=f"{count:,}")
    return f'<p class="pb-earlier"><button type="button" data-act="earlier">{said}</button></p>'


def _arrow(turn: TurnView, name: str, by: int, there: bool) -> str:
    return (
        f'<button type="button" class="pb-act" data-act="version" data-by="{by}" '
        f'data-turn="{escape(turn.id)}"{"" if there else " disabled"}>{icon(name)}'
        f'<span class="pb-tip">{say(f"version.{name}")}</span></button>'
    )
