"""End a text before any of some strings, however the text is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence


class Until:
    """Pieces of text in, pieces out; what may be the beginning of an end is held back."""

    def __init__(self, ends: Sequence[str]) -> None:
        """`ends` are not empty strings."""
        self._ends = ends
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """What can be shown now. `found` is set once an end has come; the rest is dropped."""
        self._held += text
        places = [place for end in self._ends if (place := self._held.find(end)) >= 0]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        keep = max((_overlap(self._held, end) for end in self._ends), default=0)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def rest(self) -> str:
        """What was held back, once nothing more comes."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, end: str) -> int:
    """Length of the longest tail of the text that `end` begins with."""
    longest = min(len(text), len(end) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(end[:n])), 0)
