"""Hold the page to this server: a browser loads nothing from elsewhere, Gradio stores nothing."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio compiles its templates in the browser and styles inline, hence the two `unsafe-` words.
# Text never reaches either: everything the page draws is escaped first.
POLICY = "; ".join(
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
REFUSED = "/gradio_api/deep_link"


class Shield:
    """Middleware that adds the headers to every response, and refuses one of Gradio's routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the response back with the headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        refused = scope["type"] == "http" and scope["path"].startswith(REFUSED)
        app = PlainTextResponse("Not found", 404) if refused else self.app
        await app(scope, receive, send_guarded if scope["type"] == "http" else send)
