"""The API as one ASGI app around an agent."""

from __future__ import annotations

from functools import reduce

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.agent import Agent, Watch
from api.auth import guarded
from api.background_turn import Gone, Turns
from api.body import BodyLimit, Gunzip
from api.chat import chat_routes
from api.embeddings import embedding_routes
from api.errors import MissingInOneShape, handle_errors
from api.head import HeadAsGet
from api.health import health_routes, metric_routes
from api.hosts import KnownHosts
from api.metrics import Metrics
from api.models import model_routes
from api.reply_schemas import (
    STREAM_SCHEMAS,
)
from api.request_log import CLIENT_CLOSED_REQUEST, RequestLog
from api.schemas import (
    ChatRequest,
)
from api.skills import skill_routes
from api.text_schemas import CompletionRequestBody
from api.texts import text_routes
from api.turn_options import MAX_TOKENS_FIELDS
from core.access import Keys
from core.json_values import ValuesLimit
from core.settings import Settings
from workshop.recorder import Recorder
from workshop.watch import Watcher

EXPOSED_HEADERS = ("x-request-id", "Retry-After")  # a page elsewhere may read these


class Api:
    """The API and what it knows of its process.

    Attributes:
        app: the ASGI app.
        queue: where the answers wait.
        metrics: counts of the whole process: from now on they watch the agent, and so does the
            `watcher`, if there is one.
    """

    def __init__(
        self, agent: Agent, settings: Settings, keys: Keys, watcher: Watcher | None = None
    ) -> None:
        self.queue = agent.limits.queue
        self._settings = settings
        self.metrics = Metrics(agent.engine, self.queue, watcher.store if watcher else None)
        turns = Turns(settings, self.queue)
        watched: list[Watch] = [self.metrics.watch]
        if watcher:
            watched.append(Recorder(watcher.store, watcher.after).watch)
        agent.watch = lambda turn: reduce(lambda events, watch: watch(events), watched, turn)
        self.app = FastAPI(
            title="Patchbay",
            version="1",
            description="OpenAI's chat API over one base and many adapters; see docs/api.md.",
            openapi_url=None,  # it needs a key like the rest
            docs_url=None,  # its scripts come from elsewhere
            redoc_url=None,
            middleware=[
                Middleware(
                    CORSMiddleware,
                    allow_origins=settings.cors_origins,
                    allow_methods=("GET", "HEAD", "POST"),
                    allow_headers=("*",),
                    expose_headers=EXPOSED_HEADERS,
                ),
                Middleware(RequestLog, metrics=self.metrics),
                Middleware(HeadAsGet),
                Middleware(BodyLimit, max_bytes=settings.max_request_bytes),
                Middleware(Gunzip, max_bytes=settings.max_request_bytes),
                Middleware(ValuesLimit),
            ],
        )
        handle_errors(self.app)
        self.app.exception_handler(Gone)(_gone)
        self.app.include_router(health_routes(self.queue))
        router = guarded(keys, agent.limits)
        metric_routes(router, self.metrics)
        model_routes(router, agent)
        chat_routes(router, agent, turns, settings)
        text_routes(router, agent, turns, settings)
        embedding_routes(router, agent, turns)
        skill_routes(router, agent, turns)
        router.get("/openapi.json", include_in_schema=False)(self._openapi)
        self.app.include_router(router)
        schema = self.app.openapi()
        for body in (ChatRequest, CompletionRequestBody):
            fields = schema["components"]["schemas"][body.__name__]["properties"]
            for name in MAX_TOKENS_FIELDS & fields.keys():
                fields[name]["anyOf"][0]["maximum"] = settings.max_answer_tokens
        schema["components"]["schemas"] |= STREAM_SCHEMAS
        self._paths = {"/openapi.json", *schema["paths"]}

    def before(self, page: ASGIApp) -> ASGIApp:
        """The API and, at every other path, the page; both under the names that are known."""
        page = MissingInOneShape(page)

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            ours = path == "/v1" or path.startswith("/v1/") or path in self._paths
            app = self.app if scope["type"] == "http" and ours else page
            await app(scope, receive, send)

        return KnownHosts(both, self._settings.host, self._settings.allowed_hosts)

    async def _openapi(self) -> JSONResponse:
        return JSONResponse(self.app.openapi())


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)
