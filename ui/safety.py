"""Hold the page to this server: a browser loads nothing from elsewhere, Gradio stores nothing."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio compiles its templates in the browser and styles inline, hence the two `unsafe-` words.
# Text never reaches either: everything the page draws is escaped first.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    ]
)


# Writes what a visitor sees into a folder of this computer; the page has no use for it.
DEEP_LINK = "/gradio_api/deep_link"
GRADIO_ROUTES = "/gradio_api/"
# What of it the page for the login needs. Gradio itself leaves more open, such as ending a call.
OPEN_TO_ALL = ("/gradio_api/login_check", "/gradio_api/theme.css", "/gradio_api/startup-events")


class Shield:
    """Middleware that adds the headers to every response, and refuses some of Gradio's routes.

    Args:
        locked: whether Gradio's own routes need a login.
    """

    def __init__(self, app: ASGIApp, locked: bool = False) -> None:
        self.app = app
        self._locked = locked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the response back with the headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        http = scope["type"] == "http"
        app = (self._refusal(scope) if http else None) or self.app
        await app(scope, receive, send_guarded if http else send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        path = scope["path"]
        if path.startswith(DEEP_LINK):
            return PlainTextResponse("Not found", 404)
        if self._locked and path.startswith(GRADIO_ROUTES) and not path.startswith(OPEN_TO_ALL):
            gradio, cookies = scope["app"], Request(scope).cookies
            names = (f"access-token{kind}-{gradio.cookie_id}" for kind in ("", "-unsecure"))
            if not any(cookies.get(name) in gradio.tokens for name in names):
                return PlainTextResponse("Log in first", 401)
        return None
