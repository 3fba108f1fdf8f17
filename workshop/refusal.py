"""What a person wants that cannot be done now, so that a page can say it in its own language."""

from __future__ import annotations

from core.errors import InputError
from core.statement import statement


class Refusal(InputError):
    """Why not, and what to do.

    Attributes:
        said: the message, with its parts.
    """

    def __init__(self, key: str, message: str, **fills: object) -> None:
        self.said = statement(f"refused.{key}", message, **fills)
        super().__init__(self.said.english)
