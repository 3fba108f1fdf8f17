"""The door to what belongs to whoever runs Patchbay: nobody else sees or reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core.hosts import LOCAL_NAMES, is_loopback, name_of

Owner = Callable[[HTTPConnection], str | None]
LOCAL_OWNER = "owner"  # what whoever sits at this machine is called
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def owner_by(
    name: Callable[[Request], str | None] | None, owners: Iterable[str], listens_on: str
) -> Owner:
    """Who of those that ask is an owner, by name; None for everybody else.

    Args:
        name: who is logged in; None where nobody need be. Then whoever asks from this machine, of
            a server that nobody else reaches, is its owner.
        owners: the names that are owners, where there are names.
        listens_on: the address of the server.
    """
    names = frozenset(owners)

    def owner(request: HTTPConnection) -> str | None:
        if name is None:
            return LOCAL_OWNER if _at_this_machine(request, listens_on) else None
        who = name(request)  # type: ignore[arg-type]  # it reads cookies alone
        return who if who in names else None

    return owner


class OwnersOnly:
    """Middleware: to whoever is no owner, there is nothing here.

    A page of another site that an owner looks at is no owner either: its requests are refused.
    """

    def __init__(self, app: ASGIApp, owner: Owner) -> None:
        self.app, self._owner = app, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        app = self.app
        if scope["type"] in {"http", "websocket"}:
            request = HTTPConnection(scope)
            if self._owner(request) is None or _from_elsewhere(request):
                app = PlainTextResponse(
                    '{"detail":"Not Found"}', 404, media_type="application/json"
                )
        await app(scope, receive, send)


def _at_this_machine(request: HTTPConnection, listens_on: str) -> bool:
    """Whether the request was made here. A proxy on this machine speaks for others."""
    headers = request.headers
    return (
        is_loopback(listens_on)
        and request.client is not None
        and is_loopback(request.client.host)
        and name_of(headers.get("host", "")) in {*LOCAL_NAMES, listens_on}
        and not any(header in headers for header in FORWARDED)
    )


def _from_elsewhere(request: HTTPConnection) -> bool:
    origin = request.headers.get("origin", "")
    if request.headers.get("sec-fetch-site", "") in {"cross-site", "same-site"}:
        return not _is_navigation(request)
    return bool(origin) and urlsplit(origin).netloc != request.headers.get("host", "")


def _is_navigation(request: HTTPConnection) -> bool:
    """Whether a link was followed; what it shows, the other page cannot read."""
    return (
        request.scope.get("method") == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    )
