"""How the server is: for those who restart it, send it work, and watch it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from agent.fair_queue import FairQueue
from api.errors import documented
from api.metrics import Metrics
from api.reply_schemas import (
    Health,
)

PLAIN_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "Send requests elsewhere for now"}
}


def health_routes(queue: FairQueue) -> APIRouter:
    """What needs no key."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="ok")

    @router.get("/readyz", responses=NOT_READY)
    async def readyz(response: Response) -> Health:
        """The model is loaded, the queue has room, and the server is not on its way out."""
        if not (queue.full or queue.draining):
            return Health(status="ready")
        response.status_code = 503
        return Health(status="draining" if queue.draining else "full")

    return router


def metric_routes(router: APIRouter, metrics: Metrics) -> None:
    """Add what Prometheus reads."""

    @router.get(
        "/metrics",
        response_class=Response,
        responses=PLAIN_TEXT | documented(401, 429),
    )
    async def read_metrics() -> Response:
        """Counters and histograms in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
