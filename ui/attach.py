"""Read a file that a visitor attaches: bytes come in, blocks go back for the browser to keep.

Nothing is stored here, not even for a moment on disk, and there is no address under which somebody
else could ask for it.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent.agent import Agent
from core.errors import InputError, PatchbayError, TooMany
from documents import process
from documents.limits import DEFAULT_LIMITS, require_size
from documents.names import shown_name
from ui.file_words import in_both

log = logging.getLogger(__name__)

PATH = "/gradio_api/attach"  # among Gradio's, so that a login guards it as it does them
NAME_HEADER = "x-file-name"  # percent-encoded; a page elsewhere may not send it


def attach_route(agent: Agent) -> Route:
    """The one route: `{"document": ..., "tokens": ..., "notes": [...]}` of a file, or
    `{"error": ...}`. A note and an error are each `{"en": ..., "zh": ...}`.
    """

    async def attach(request: Request) -> JSONResponse:
        visitor, name = request.client.host if request.client else "", _name(request)
        try:
            agent.limits.count_request(visitor)
            with agent.limits.queue.admit(visitor):  # so many are held in memory, and no more
                if not name:
                    raise InputError(f"A file comes with its name in the header {NAME_HEADER}.")
                raw = await _body(request, name)
                return JSONResponse(await run_in_threadpool(_read, agent, name, raw))
        except PatchbayError as error:
            statuses = {InputError: 422, TooMany: 429}
            return JSONResponse({"error": _in_both(str(error))}, statuses.get(type(error), 503))

    return Route(PATH, attach, methods=["POST"])


def _name(request: Request) -> str:
    return unquote(request.headers.get(NAME_HEADER, ""))


async def _body(request: Request, name: str) -> bytes:
    """All of the file.

    Raises:
        InputError: it is too large; what comes after that is not waited for.
    """
    announced = request.headers.get("content-length", "")
    name, raw = shown_name(name), bytearray()
    require_size(name, int(announced) if announced.isdecimal() else 0, DEFAULT_LIMITS)
    async for chunk in request.stream():
        raw += chunk
        require_size(name, len(raw), DEFAULT_LIMITS)
    return bytes(raw)


def _read(agent: Agent, name: str, raw: bytes) -> dict[str, Any]:
    document = process.read(name, raw)
    tokens = None
    try:
        tokens = agent.engine.count_tokens(({"role": "user", "content": document.text},))
    except PatchbayError as error:  # the engine is away; the file was read all the same
        log.info("The tokens of an attached file could not be counted: %s", error)
    notes = [_in_both(note) for note in document.notes]
    return {"document": document.to_json(), "tokens": tokens, "notes": notes}


def _in_both(sentence: str) -> dict[str, str]:
    return in_both(sentence).model_dump()
