"""Mount the page for tables beside the chat: its address, its login, its downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.agent import Agent
from agent.batch.kept import MAX_TABLE_BYTES, KeptTables
from agent.batch.output import as_bytes, merged
from agent.feedback.store import Feedback
from core import paths
from core.access import Keys
from core.errors import PatchbayError
from ui.safety import Shield
from ui.tables_handlers import TablesHandlers
from ui.tables_page import build_tables_page

PATH, DOWNLOADS = "/tables", "/tables-download"
UI_FOLDER = Path(__file__).parent
STYLE_SHEETS = ("style.css", "frame.css", "narrow.css", "tables.css")
PAGE_SCRIPTS = ("store.js", "looks.js", "tables.js")
TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".jsonl": "application/jsonl; charset=utf-8",
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


def mount_tables(
    host: FastAPI,
    agent: Agent,
    feedback: Feedback,
    keys: Keys,
    *,
    profile: str,
    name: Name | None,
    looks: Mapping[str, Any],
) -> None:
    """Add the page and its downloads to the app that the chat's page is mounted on after it.

    Args:
        name: who is logged in; None where nobody need be.
        looks: what is the same for both pages, see `gr.mount_gradio_app`.
    """
    tables = KeptTables(agent, paths.user_dir() / "tables")
    tables.sweep()
    handlers = TablesHandlers(agent, tables, feedback, keys, address=DOWNLOADS)
    page = build_tables_page(handlers, agent.engine.fingerprints().get("base", ""), profile)
    page.queue(default_concurrency_limit=None, api_open=False)

    @host.get(DOWNLOADS + "/{file}")
    def download(file: str, request: Request) -> Response:
        """A result, to whom it belongs."""
        key, dot, suffix = file.partition(".")
        who = name(request) if name else None
        if dot + suffix not in TYPES or (name is not None and who is None):
            raise HTTPException(404)
        try:
            kept = tables.get(key, keys.named(who, "").name if keys else "")
        except PatchbayError as error:
            raise HTTPException(404, str(error)) from error
        if kept.facts.assignment is None:
            raise HTTPException(404)
        names = kept.columns
        rows = merged(kept.table, kept.corrected(), names)
        body = as_bytes(dot + suffix, [*kept.table.columns, *names.values()], rows)
        heading = f'attachment; filename="results{dot}{suffix}"'
        return Response(
            body, headers={"Content-Disposition": heading}, media_type=TYPES[dot + suffix]
        )

    @host.get(PATH)
    def without_slash() -> Response:
        """As people write it."""
        return RedirectResponse(f"{PATH.strip('/')}/")

    gr.mount_gradio_app(
        host,
        page,
        PATH,
        auth_dependency=name,
        max_file_size=MAX_TABLE_BYTES,
        head=_head(),
        app_kwargs={
            "middleware": [
                Middleware(Shield),
                *([Middleware(ToLogin, name=name, path=PATH)] if name else []),
            ],
            "max_body_size": MAX_TABLE_BYTES + 1_000_000,
        },
        **looks,
    )


def name_in(host: FastAPI) -> Name:
    """Who has logged in to the Gradio app at the root of a host, by its cookie."""

    def name(request: Request) -> str | None:
        app: Any = next(r.app for r in host.routes if isinstance(r, Mount) and not r.path)
        kinds = (f"access-token{kind}-{app.cookie_id}" for kind in ("", "-unsecure"))
        found = (app.tokens.get(request.cookies.get(kind)) for kind in kinds)
        return next((user for user in found if user), None)

    return name


def _head() -> str:
    style = "".join((UI_FOLDER / name).read_text(encoding="utf-8") for name in STYLE_SHEETS)
    script = "".join((UI_FOLDER / name).read_text(encoding="utf-8") for name in PAGE_SCRIPTS)
    return f"<style>{style}</style><script>{script}</script>"
