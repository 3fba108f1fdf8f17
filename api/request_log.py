"""One line in the log and one count for every request, whatever becomes of it."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics

log = logging.getLogger("patchbay.request")
CLIENT_CLOSED_REQUEST = 499  # nginx's number for a visitor who has gone before the end


class RequestLog:
    """Middleware. Handlers add to `request.state.log_fields` what the line should say."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write down what came of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, whole = time.perf_counter(), 500, False
        fields: dict[str, Any] = {"request": f"req_{uuid.uuid4().hex}"}
        scope.setdefault("state", {})["log_fields"] = fields

        async def sending(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = fields["request"]
            elif message["type"] == "http.response.body":
                whole = not message.get("more_body", False)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            # The path as it was declared: what a visitor makes up would be a label without end.
            route = getattr(scope.get("route"), "path", "unknown")
            status = status if whole or status >= 500 else CLIENT_CLOSED_REQUEST
            self._metrics.requests.labels(route, str(status)).inc()
            fields |= {"method": scope["method"], "route": route, "status": status}
            fields["seconds"] = round(time.perf_counter() - started, 4)
            log.info("request", extra={"log_fields": fields})
