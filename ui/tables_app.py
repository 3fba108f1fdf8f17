"""The page for tables beside the chat, and its downloads."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.agent import Agent
from agent.batch.kept import MAX_TABLE_BYTES, KeptTables
from agent.batch.output import as_bytes, merged
from agent.feedback.store import Feedback
from core import paths
from core.access import Keys
from core.errors import PatchbayError
from ui.mounting import Name, mount_beside
from ui.tables_handlers import TablesHandlers
from ui.tables_page import build_tables_page

PATH, DOWNLOADS = "/tables", "/tables-download"
STYLE_SHEETS = ("style.css", "frame.css", "narrow.css", "tables.css")
TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".jsonl": "application/jsonl; charset=utf-8",
}


def mount_tables(
    host: FastAPI,
    agent: Agent,
    feedback: Feedback,
    keys: Keys,
    *,
    profile: str,
    name: Name | None,
) -> None:
    """Add the page and its downloads to the app that the chat's page is mounted on after it.

    Args:
        name: who is logged in; None where nobody need be.
    """
    tables = KeptTables(agent, paths.user_dir() / "tables")
    tables.sweep()
    handlers = TablesHandlers(agent, tables, feedback, keys, address=DOWNLOADS)
    page = build_tables_page(handlers, agent.engine.fingerprints().get("base", ""), profile)

    @host.get(DOWNLOADS + "/{file}")
    def download(file: str, request: Request) -> Response:
        """A result, to whom it belongs."""
        who = name(request) if name else None
        if name is not None and who is None:
            raise HTTPException(404)
        return _result(tables, file, keys.named(who, "").name if keys else "")

    mount_beside(
        host,
        page,
        PATH,
        style_sheets=STYLE_SHEETS,
        name=name,
        max_upload_bytes=MAX_TABLE_BYTES,
    )


def _result(tables: KeptTables, file: str, owner: str) -> Response:
    """A table's result, in the format of the file's ending.

    Raises:
        HTTPException: 404, where there is none, or it is not theirs.
    """
    key, dot, suffix = file.partition(".")
    if dot + suffix not in TYPES:
        raise HTTPException(404)
    try:
        kept = tables.get(key, owner)
    except PatchbayError as error:
        raise HTTPException(404, str(error)) from error
    if kept.facts.assignment is None:
        raise HTTPException(404)
    names = kept.columns
    rows = merged(kept.table, kept.corrected(), names)
    body = as_bytes(dot + suffix, [*kept.table.columns, *names.values()], rows)
    heading = f'attachment; filename="results{dot}{suffix}"'
    return Response(body, headers={"Content-Disposition": heading}, media_type=TYPES[dot + suffix])
