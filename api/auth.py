"""Who comes in: the key of a request, and the count of its visitor's requests."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from agent.limits import Limits
from api.errors import ApiError
from core.access import Keys, Visitor

BEARER = HTTPBearer(auto_error=False, description="a key of the setting `api_keys`")


def guarded(keys: Keys, limits: Limits) -> APIRouter:
    """A router for what not everybody may ask.

    Before the body of a request is read, its visitor stands in `request.state.visitor`: the key's
    holder where there are keys, else whoever has the address.
    """

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def enter(request: Request) -> Response:
                visitor = await _visitor(request, keys)
                request.state.visitor = visitor
                # An address is a person's own.
                request.state.log_fields["visitor"] = visitor.name if keys else None
                limits.count_request(visitor.name)
                return await answer(request)

            return enter

    # The dependency is for the OpenAPI.
    needed = [Depends(BEARER)] if keys else []
    return APIRouter(route_class=Guarded, dependencies=needed)


async def _visitor(request: Request, keys: Keys) -> Visitor:
    """Who asks.

    Raises:
        ApiError: a key is needed and the request has none that is known.
    """
    if not keys:
        return Visitor(request.client.host if request.client else "")
    credentials = await BEARER(request)
    visitor = keys.holder(credentials.credentials) if credentials else None
    if visitor is None:
        problem = "is not known" if credentials else "is missing"
        raise ApiError(
            401,
            f"The API key {problem}. Send one as `Authorization: Bearer KEY`.",
            "invalid_api_key",
        )
    return visitor
