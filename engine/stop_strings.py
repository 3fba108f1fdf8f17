"""End a text before any of its stop strings, or behind its list, however it is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence

from engine.list_end import ListEnd, next_numbers


class StopStrings:
    """Pieces of text in, pieces out; what may be the beginning of a stop string is held back."""

    def __init__(self, strings: Sequence[str], list_length: int = 0, begun: str = "") -> None:
        """`strings` are not empty. A list of `list_length` items ends the text, too, unless 0.

        `begun` stands before the first piece, and may hold the first of these items.
        """
        self._strings = (*strings, *(next_numbers(list_length) if list_length else ()))
        self._list = ListEnd(list_length)
        self._list.feed(begun)
        self._pending = ""
        self.matched = False

    def feed(self, text: str) -> str:
        """What can be shown now. `matched` is set once the text has ended; the rest is dropped."""
        shown = self._before_strings(text)
        end = self._list.feed(shown)
        if end is None:
            return shown
        self.matched, self._pending = True, ""
        return shown[:end]

    def _before_strings(self, text: str) -> str:
        self._pending += text
        starts = [at for string in self._strings if (at := self._pending.find(string)) >= 0]
        if starts:
            self.matched = True
            shown, self._pending = self._pending[: min(starts)], ""
            return shown
        held = max((overlap(self._pending, string) for string in self._strings), default=0)
        shown = self._pending[: len(self._pending) - held]
        self._pending = self._pending[len(shown) :]
        return shown

    def flush(self) -> str:
        """What was held back, once nothing more comes."""
        rest, self._pending = self._pending, ""
        return rest


def overlap(text: str, string: str) -> int:
    """Length of the longest tail of the text that the string begins with."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)
