"""Draw the way between the versions of a turn, and to what is not drawn."""

from __future__ import annotations

from collections.abc import Sequence
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


def draw_left_out(turn: TurnView, next_pieces: Sequence[str], left: Sequence[str]) -> str:
    """The button for what is not drawn of a very long answer; while that grows, how much it is."""
    count = f"{sum(map(len, left)):,}"
    if turn.status == "running":
        return f'<p class="pb-earlier pb-left-out">{say("answer.left_out", of=count)}</p>'
    said = say("answer.show", n=f"{sum(map(len, next_pieces)):,}", of=count)
    return (
        f'<p class="pb-earlier pb-left-out"><button type="button" data-act="longer" '
        f'data-turn="{escape(turn.id)}">{said}</button></p>'
    )


def _arrow(turn: TurnView, name: str, by: int, there: bool) -> str:
    return (
        f'<button type="button" class="pb-act" data-act="version" data-by="{by}" '
        f'data-turn="{escape(turn.id)}"{"" if there else " disabled"}>{icon(name)}'
        f'<span class="pb-tip">{say(f"version.{name}")}</span></button>'
    )
