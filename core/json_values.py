"""No JSON of very many values: a few megabytes of `[],[],` would become hundreds in memory.

A body may be large where it holds files, which are one value each.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_VALUES = 2_000_000


class ValuesLimit:
    """Middleware: a body with more brackets and commas raises an HTTPException with status 413.

    Those within texts count too.
    """

    def __init__(self, app: ASGIApp, most: int = MAX_VALUES) -> None:
        self.app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its values counted as they are read."""
        values = 0

        async def counted() -> Message:
            nonlocal values
            message = await receive()
            body = message.get("body", b"")
            values += body.count(b",") + body.count(b"[") + body.count(b"{")
            if values > self._most:
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)
