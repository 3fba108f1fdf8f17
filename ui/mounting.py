"""Mount a page beside the chat's: its address, its login, its style sheets and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.safety import Shield

UI_FOLDER = Path(__file__).parent
# Of a page beside the chat: storage of settings, the header's switches.
BESIDE_SCRIPTS = ("store.js", "looks.js", "tables.js")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "PingFang SC", "Microsoft YaHei"]
# Of all pages, see `gr.mount_gradio_app`.
LOOKS: dict[str, Any] = {
    "show_error": False,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "theme": gr.themes.Base(font=FONTS, font_mono=["ui-monospace", "monospace"]),
}
Name = Callable[[Request], str | None]


class ToLogin:
    """Middleware that sends whoever is not logged in to the chat's page, which asks for it."""

    def __init__(self, app: ASGIApp, name: Name, path: str) -> None:
        self.app, self._name, self._path = app, name, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "http" and self._name(Request(scope)) is None:
            page = scope["path"].rstrip("/").endswith(self._path)
            away = RedirectResponse("/") if page else Response("Log in first", 401)
            await away(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def mount_beside(
    host: FastAPI,
    page: gr.Blocks,
    path: str,
    *,
    style_sheets: Iterable[str],
    name: Name | None,
    max_upload_bytes: int = 0,
    scripts: Iterable[str] = (),
    guards: Sequence[Middleware] = (),
    routes: Sequence[Route] = (),
) -> None:
    """Add a page to the app that the chat's page is mounted on after it.

    Args:
        path: its address, without a slash at the end.
        name: who is logged in; None where nobody need be.
        max_upload_bytes: of a file that Gradio takes.
        scripts: its own, behind those of all such pages.
        guards: what a request passes before anything else, in place of the way to the login.
        routes: more addresses below the path, behind the same guards.
    """
    page.queue(default_concurrency_limit=None, api_open=False)

    @host.get(path)
    def without_slash(request: Request) -> Response:
        """As people write it."""
        if guards and name and name(request) is None:
            raise HTTPException(404)
        return RedirectResponse(f"{path.strip('/')}/")

    kwargs: dict[str, Any] = {"middleware": [Middleware(Shield), *guards], "routes": [*routes]}
    if name and not guards:
        kwargs["middleware"].append(Middleware(ToLogin, name=name, path=path))
    if max_upload_bytes:
        kwargs["max_body_size"] = max_upload_bytes + 1_000_000
    gr.mount_gradio_app(
        host,
        page,
        path,
        auth_dependency=name,
        max_file_size=max_upload_bytes,
        head=head(style_sheets, (*BESIDE_SCRIPTS, *scripts)),
        app_kwargs=kwargs,
        **LOOKS,
    )


def head(style_sheets: Iterable[str], scripts: Iterable[str]) -> str:
    """What a page's `<head>` is given."""
    # Gradio rewrites the selectors of style sheets handed to it as `css`; these are meant as is.
    style, script = (
        "".join((UI_FOLDER / name).read_text(encoding="utf-8") for name in names)
        for names in (style_sheets, scripts)
    )
    return f"<style>{style}</style><script>{script}</script>"


def name_in(host: FastAPI) -> Name:
    """Who has logged in to the Gradio app at the root of a host, by its cookie."""

    def name(request: Request) -> str | None:
        app: Any = next(r.app for r in host.routes if isinstance(r, Mount) and not r.path)
        kinds = (f"access-token{kind}-{app.cookie_id}" for kind in ("", "-unsecure"))
        found = (app.tokens.get(request.cookies.get(kind)) for kind in kinds)
        return next((user for user in found if user), None)

    return name


def still(name: str, text: str) -> gr.HTML:
    """HTML of a page that stands as it is, or is drawn anew by the server."""
    return gr.HTML(text, elem_id=name, apply_default_css=False, js_on_load=None)
