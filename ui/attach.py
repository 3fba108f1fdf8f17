"""Read a file that a visitor attaches, and write it anew: the browser keeps what goes back.

Nothing is stored here, not even for a moment on disk, and there is no address under which somebody
else could ask for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.agent import Agent
from agent.file_output import completed
from core.errors import InputError, PatchbayError, TooMany
from documents import process
from documents.limits import DEFAULT_LIMITS, ReadingLimits, require_size
from documents.names import shown_name
from ui.file_words import in_both

log = logging.getLogger(__name__)

# Among Gradio's, so that a login guards them as it does those.
READ, REWRITE = "/gradio_api/attach", "/gradio_api/rewrite"
_TEXTS = TypeAdapter(list[str])
NAME_HEADER = "x-file-name"  # percent-encoded; a page elsewhere may not send it


def attach_route(agent: Agent) -> Route:
    """`{"document": ..., "tokens": ..., "notes": [...]}` of a file, or `{"error": ...}`. A note and
    an error are each `{"en": ..., "zh": ...}`.
    """

    def read(name: str, raw: bytes) -> Response:
        return JSONResponse(_read(agent, name, raw))

    return _route(READ, agent, read, DEFAULT_LIMITS.file_bytes)


def rewrite_route(agent: Agent) -> Route:
    """A file with other texts in place of its blocks, or `{"error": ...}`. The texts come before
    the file, as a line of JSON; those that lack at the end stay as they are.
    """
    most = DEFAULT_LIMITS.file_bytes + 4 * DEFAULT_LIMITS.characters
    return _route(REWRITE, agent, lambda name, raw: Response(_rewritten(name, raw)), most)


def _route(path: str, agent: Agent, act: Callable[[str, bytes], Response], most: int) -> Route:
    async def answer(request: Request) -> Response:
        visitor, name = request.client.host if request.client else "", _name(request)
        try:
            agent.limits.count_request(visitor)
            with agent.limits.queue.admit(visitor):  # so many are held in memory, and no more
                if not name:
                    raise InputError(f"A file comes with its name in the header {NAME_HEADER}.")
                raw = await _body(request, name, replace(DEFAULT_LIMITS, file_bytes=most))
                return await run_in_threadpool(act, name, raw)
        except PatchbayError as error:
            statuses = {InputError: 422, TooMany: 429}
            return JSONResponse({"error": _in_both(str(error))}, statuses.get(type(error), 503))

    return Route(path, answer, methods=["POST"])


def _name(request: Request) -> str:
    return unquote(request.headers.get(NAME_HEADER, ""))


async def _body(request: Request, name: str, limits: ReadingLimits) -> bytes:
    """All of the file.

    Raises:
        InputError: it is too large; what comes after that is not waited for.
    """
    announced = request.headers.get("content-length", "")
    name, raw = shown_name(name), bytearray()
    require_size(name, int(announced) if announced.isdecimal() else 0, limits)
    async for chunk in request.stream():
        raw += chunk
        require_size(name, len(raw), limits)
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


def _rewritten(name: str, body: bytes) -> bytes:
    line, _, raw = body.partition(b"\n")
    try:
        texts = _TEXTS.validate_json(line)
    except ValidationError as error:
        raise InputError("The new texts came damaged: a JSON list of strings is wanted.") from error
    document = process.read(name, raw)
    return process.write(document, completed(document, texts))


def _in_both(sentence: str) -> dict[str, str]:
    return in_both(sentence).model_dump()
