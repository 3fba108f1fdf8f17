"""The API as one ASGI app around an agent."""

from __future__ import annotations

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.agent import Agent
from api.body import BodyLimit
from api.chat import chat_routes
from api.doors import door
from api.errors import handle_errors
from api.health import health_routes, metric_routes
from api.ledger import LEFT, Ledger
from api.metrics import Metrics
from api.models import model_routes
from api.schemas import STREAMED
from api.skills import skill_routes
from api.turns import Gone, Turns
from core.access import Keys
from core.settings import Settings


class Api:
    """The API and what it knows of its process.

    Attributes:
        app: the ASGI app.
        turns: the answers that run.
        metrics: counts of the whole process: from now on they watch the agent.
    """

    def __init__(self, agent: Agent, settings: Settings, keys: Keys) -> None:
        self.metrics = Metrics(agent.engine)
        self.turns = Turns(settings)
        agent.watch = self.metrics.watch
        self.app = FastAPI(
            title="Patchbay",
            version="1",
            description="OpenAI's chat API over one base and many adapters; see docs/api.md.",
            openapi_url=None,  # it needs a key like the rest
            docs_url=None,  # its scripts come from elsewhere
            redoc_url=None,
            middleware=[
                Middleware(Ledger, metrics=self.metrics),
                Middleware(BodyLimit, most=settings.max_request_bytes),
            ],
        )
        handle_errors(self.app)
        self.app.exception_handler(Gone)(_gone)
        enter = [Depends(door(keys, self.turns.limits))]
        self.app.include_router(health_routes(agent.engine, settings, lambda: self.turns.draining))
        for router in (
            metric_routes(self.metrics),
            model_routes(agent),
            chat_routes(agent, self.turns, settings),
            skill_routes(agent, self.turns),
        ):
            self.app.include_router(router, dependencies=enter)
        self.app.get("/openapi.json", include_in_schema=False, dependencies=enter)(self._openapi)
        schema = self.app.openapi()
        schema["components"]["schemas"] |= STREAMED
        self._paths = {"/openapi.json", *schema["paths"]}

    def before(self, page: ASGIApp) -> ASGIApp:
        """The API and, at every other path, the page."""

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            ours = path.startswith("/v1/") or path in self._paths
            app = self.app if scope["type"] == "http" and ours else page
            await app(scope, receive, send)

        return both

    async def _openapi(self) -> JSONResponse:
        return JSONResponse(self.app.openapi())


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=LEFT)
