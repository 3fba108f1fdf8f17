"""What a person wants that cannot be done now, so that a page can say it in its own language."""

from __future__ import annotations

from core.errors import InputError


class Refusal(InputError):
    """Why not, and what to do.

    Attributes:
        key: names the sentence, for those who say it in another language.
        fills: the values in it.
    """

    def __init__(self, key: str, message: str, **fills: object) -> None:
        super().__init__(message.format(**fills))
        self.key, self.fills = key, fills
