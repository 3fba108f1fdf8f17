"""Under which names a server may be asked: a web page elsewhere can have its own name mean this
machine (DNS rebinding), and would read what only this machine's visitors should.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError
from core.hosts import LOCAL_NAMES, is_loopback, name_of

MISDIRECTED = 421
MAX_SHOWN = 100  # characters of a name that was asked for


class KnownHosts:
    """Middleware: where it listens on loopback, it answers to local names and to those given; where
    it does not, to those given, or to any name if there are none.
    """

    def __init__(self, app: ASGIApp, listens_on: str, names: Iterable[str] = ()) -> None:
        self.app = app
        given = {name_of(name) for name in names}
        local = {*LOCAL_NAMES, listens_on} if is_loopback(listens_on) else set()
        self._names = given | local if given or local else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        app: ASGIApp = self.app
        if self._names is not None and scope["type"] == "http":
            host = name_of(Headers(scope=scope).get("host", ""))
            if host not in self._names and "*" not in self._names:
                app = ApiError(
                    MISDIRECTED,
                    f"This server does not answer to the name {host[:MAX_SHOWN]!r}. If it is one "
                    "of its names, put it into the setting allowed_hosts.",
                    "unknown_host",
                ).response
        await app(scope, receive, send)
