"""Every error in OpenAI's shape, with its HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.reply_schemas import (
    ErrorDetail,
    ErrorResponse,
)
from core.errors import PatchbayError

log = logging.getLogger(__name__)
MAX_MESSAGE = 600  # characters: it may hold a name that the visitor made up
RETRY_AFTER_SECONDS = 5
GRADIO_ROUTES = "/gradio_api/"
# By the error's class name, which is what a turn's Failed event has: status, and OpenAI's code.
STATUS_OF: dict[str, tuple[int, str | None]] = {
    "InputError": (422, None),
    "AsksBack": (422, "asks_back"),
    "TooLong": (400, "context_length_exceeded"),
    "UnknownName": (404, "not_found"),
    "AdapterError": (422, "adapter_refused"),
    "NotAllowed": (403, "adapter_not_allowed"),
    "EngineBusy": (429, "queue_full"),
    "TooMany": (429, "rate_limit_exceeded"),
    "Draining": (503, "shutting_down"),
    "EngineAway": (503, "engine_away"),
}
TYPE_OF = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
DESCRIPTIONS: dict[int | str, str] = {
    400: "The request is malformed, or longer than the model reads",
    401: "The key is missing or unknown",
    403: "The key may not use the adapter that answers",
    404: "There is no such model, task or command",
    413: "The request has too many bytes",
    422: "The request is well formed and cannot be answered",
    429: "Too many requests, or too many at one time",
    "4XX": "Another mistake in the request",
    500: "An error of the server",
    503: "The server is shutting down, or its model server is away",
}


class ApiError(Exception):
    """An error on its way to the visitor."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    @classmethod
    def of(cls, kind: str, message: str) -> ApiError:
        """From the class name and the text of an error that is safe to show."""
        status, code = STATUS_OF.get(kind, (500, None))
        return cls(status, message, code)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        other = "invalid_request_error" if self.status < 500 else "server_error"
        message = (
            self.message if len(self.message) <= MAX_MESSAGE else self.message[:MAX_MESSAGE] + " …"
        )
        kind = TYPE_OF.get(self.status, other)
        detail = ErrorDetail(message=message, type=kind, param=self.param, code=self.code)
        return ErrorResponse(error=detail).model_dump()

    @property
    def response(self) -> JSONResponse:
        """The HTTP response of it."""
        headers = {}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in {429, 503}:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return JSONResponse(self.body, self.status, headers)


def documented(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for its OpenAPI."""
    return {
        status: {"model": ErrorResponse, "description": DESCRIPTIONS[status]} for status in statuses
    }


def handle_errors(app: FastAPI) -> None:
    """Turn everything that is raised into a response, here and nowhere else."""

    @app.exception_handler(ApiError)
    async def _ours(request: Request, error: ApiError) -> JSONResponse:
        return error.response

    @app.exception_handler(PatchbayError)
    async def _safe(request: Request, error: PatchbayError) -> JSONResponse:
        return ApiError.of(type(error).__name__, str(error)).response

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        return _of_validation(error.errors()).response

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        response = ApiError(error.status_code, _sentence(request, error)).response
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        return ApiError(500, "The server made a mistake. It is in its log.").response


def _sentence(request: Request, error: HTTPException) -> str:
    where = _where(request.method, request.url.path)
    if isinstance(error.__cause__, UnicodeDecodeError):
        return "The body is not UTF-8, which JSON is written in. Encode it so."
    return {
        404: f"There is no {where}. GET /openapi.json lists what there is.",
        405: f"{where} is not allowed; {(error.headers or {}).get('Allow')} is.",
        413: "The request has too many bytes. Send less text.",
    }.get(error.status_code, f"{str(error.detail).rstrip('.')}.")


def _where(method: str, path: str) -> str:
    return f"{method} {path[:100]}"


class MissingInOneShape:
    """Middleware around the page: what is not there is an error in OpenAI's shape there, too.

    Gradio's own routes are left to its scripts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the response back."""
        if scope["type"] != "http" or scope["path"].startswith(GRADIO_ROUTES):
            await self.app(scope, receive, send)
            return
        missing: JSONResponse | None = None

        async def sending(message: Message) -> None:
            nonlocal missing
            if message["type"] == "http.response.start" and message["status"] in {404, 405}:
                where = _where(scope["method"], scope["path"])
                said = f"There is no {where}. GET /openapi.json lists what the API has."
                missing = ApiError(message["status"], said).response
            if missing is None:
                await send(message)

        await self.app(scope, receive, sending)
        if missing is not None:
            await missing(scope, receive, send)


def _of_validation(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The deepest of the errors: of the forms a value may have, the one that fits best."""
    first = max(errors, key=lambda one: (len(one["loc"]), one["type"] == "unknown_parameter"))
    path = [str(part) for part in first["loc"][1:] if not _is_form(str(part))]
    param = ".".join(path)[:100] or None
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not JSON: {first['ctx']['error']}.")
    if param is None:
        return ApiError(400, "The body must be a JSON object, with Content-Type: application/json.")
    if first["type"] == "unknown_parameter":
        message = f"This server knows no {path[-1]!r} here. Leave it out."
    else:
        message = f"{param}: {first['msg']}."
    return ApiError(400, message, param=param)


def _is_form(part: str) -> bool:
    """Whether pydantic names one of several forms of a value here, and not a field."""
    return part in {"constrained-str", "str"} or "[" in part
