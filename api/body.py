"""No more bytes of a request than are allowed, announced or not, packed or not.

Starlette's own limit answers in plain text, whatever the app would say.
"""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Middleware: reading a body that is too large raises an HTTPException with status 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its bytes counted as they are read."""
        announced = (
            Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        )
        received = 0

        async def counted() -> Message:
            nonlocal received
            if announced.isdecimal() and int(announced) > self._max_bytes:
                raise HTTPException(413)
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)


class Gunzip:
    """Middleware: a body in gzip is unpacked as it is read, so far as its bytes are allowed.

    Raises an HTTPException: status 413 beyond that, 415 for another encoding, 400 where it is
    damaged.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body unpacked."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding == "identity":
            await self.app(scope, receive, send)
            return
        unpack = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        left = self._max_bytes

        async def unpacked() -> Message:
            nonlocal left
            if encoding not in {"gzip", "x-gzip"}:
                raise HTTPException(415, "Send the body as it is, or in gzip")
            message = await receive()
            if message["type"] != "http.request":
                return message
            try:
                body = unpack.decompress(message.get("body", b""), left + 1)
            except zlib.error as error:
                raise HTTPException(400, "The body says that it is gzip, and is not") from error
            if len(body) > left:
                raise HTTPException(413)
            left -= len(body)
            if unpack.unused_data or not (message.get("more_body") or unpack.eof):
                raise HTTPException(400, "The body in gzip does not end where its packing ends")
            return {**message, "body": body}

        await self.app(scope, unpacked, send)
