"""Cut a long answer's Markdown into pieces, so that a browser draws only what is new of it."""

from __future__ import annotations

import re
from typing import NamedTuple

PIECE = 3_000  # characters from which on a piece ends between two blocks
LONGEST = 12_000  # at which it ends behind a line, or else anywhere

# A blank line, and behind it a block of its own: no item of a list, no row, nothing indented.
_BETWEEN = re.compile(r"\n[ \t]*\n(?=[^\s>|*+\-\d`~])")
_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})(?P<language>.*)$", re.MULTILINE)


class Cut(NamedTuple):
    """The first piece of a text, where it ends, and the line of the fence that is open there."""

    end: int
    piece: str
    fence: str


Cuts = dict[tuple[str, str], Cut]  # by what was cut, and the fence that was open before it


def pieces(text: str, known: Cuts | None = None) -> list[str]:
    """Pieces that draw as the whole would, but for what is cut where nothing ends for long.

    A fence that is open at an end is closed there, and opened again. While a text grows, all pieces
    but the last stay as they are.

    Args:
        known: what was cut before, of a text that grows; what is cut now comes to it.
    """
    known = {} if known is None else known
    found: list[str] = []
    start, fence = 0, ""
    while True:
        window = text[start : start + LONGEST + 1]
        cut = known.get((window, fence)) or _cut(window, fence)
        if cut is None:
            break
        if len(window) > LONGEST:  # else it is another one when the text has grown
            known[window, fence] = cut
        end, piece, fence = cut
        found.append(piece)
        start += end
    return [*found, _whole(text[start:], fence, "")]


def _cut(window: str, fence: str) -> Cut | None:
    """The first piece; None where there is only one.

    Args:
        window: what is to be cut, one character more than the longest piece where there is more.
        fence: the line that opened the one that is open before it.
    """
    places = [(0, fence), *_fences(window, fence)]
    for between in _BETWEEN.finditer(window, PIECE):
        if not _open_at(places, between.end()):
            return Cut(between.end(), _whole(window[: between.end()], fence, ""), "")
    if len(window) <= LONGEST:
        return None
    end = window.rfind("\n", PIECE, LONGEST) + 1 or LONGEST
    left = _open_at(places, end)
    return Cut(end, _whole(window[:end], fence, left), left)


def _fences(window: str, opened: str) -> list[tuple[int, str]]:
    """Behind which place which fence is open."""
    places = []
    for line in _FENCE.finditer(window):
        marks = line["marks"]
        if not opened:
            opened = line.group()
        elif marks.startswith(_marks(opened)) and not line["language"].strip():
            opened = ""
        else:
            continue
        places.append((line.end(), opened))
    return places


def _open_at(places: list[tuple[int, str]], end: int) -> str:
    return [opened for place, opened in places if place <= end][-1]


def _whole(piece: str, before: str, after: str) -> str:
    begin = f"{before}\n" if before else ""
    line_end = "" if piece.endswith("\n") or not after else "\n"
    return begin + piece + line_end + _marks(after)


def _marks(line: str) -> str:
    """The marks of a fence, without its language."""
    found = _FENCE.match(line)
    return found["marks"] if found else ""
