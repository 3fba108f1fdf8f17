"""See, while a list is written, that it has as many items as are wanted."""

from __future__ import annotations

import re

_ITEM = re.compile(r"(\s*(?:\*\*)?)(?:(\d{1,3}[.)、．:：])|[-*•]\s)\s*\S")


class ListEnd:
    """Takes in an answer piece by piece and finds where the line of its list's last item ends.

    The first item decides the form of all: number or bullet, and indent. A list whose items have
    lines below them is left to `next_numbers`, because its last item may have some, too.
    """

    def __init__(self, length: int) -> None:
        """`length` items are wanted; 0 ends no list."""
        self._left = length
        self._line = ""
        self._form: tuple[str, bool] | None = None

    def feed(self, text: str) -> int | None:
        """Where in this text the answer ends; None as long as it goes on."""
        end = 0
        for line in text.splitlines(keepends=True) if self._left else ():
            end += len(line)
            self._line += line
            if line.endswith("\n"):
                self._take(self._line)
                self._line = ""
                if self._left == 0:
                    return end if self._form else None
        return None

    def _take(self, line: str) -> None:
        found = _ITEM.match(line)
        form = found and (found[1], found[2] is not None)
        if form and form == (self._form or form):
            self._form = form
            self._left -= 1
        elif self._form and line.strip():
            self._form, self._left = None, 0


def next_numbers(length: int) -> tuple[str, ...]:
    """What a numbered list of so many items goes on with."""
    signs = (". ", ") ", ": ", "、", "．", "：")  # a space tells "4. " from 4.5
    return tuple(f"\n{mark}{length + 1}{sign}" for mark in ("", "**") for sign in signs)
