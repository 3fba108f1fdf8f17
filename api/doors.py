"""Who comes in: the key of a request, and the count of its visitor's requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import ApiError
from api.limits import Limits
from core.access import Keys, Visitor

BEARER = HTTPBearer(auto_error=False, description="a key of the setting `api_keys`")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
Door = Callable[..., Awaitable[None]]


def door(keys: Keys, limits: Limits) -> Door:
    """A dependency that says who asks, as `request.state.visitor`.

    With keys it is the key's holder, else whoever has the address.

    Raises:
        ApiError: a key is needed and the request has none that is known.
        TooMany: the visitor has asked too often.
    """

    async def by_key(request: Request, credentials: Credentials) -> None:
        visitor = keys.holder(credentials.credentials) if credentials else None
        if visitor is None:
            problem = "is not known" if credentials else "is missing"
            raise ApiError(
                401,
                f"The API key {problem}. Send one as `Authorization: Bearer KEY`.",
                "invalid_api_key",
            )
        await come_in(request, visitor)

    async def by_address(request: Request) -> None:
        await come_in(request, Visitor(request.client.host if request.client else ""))

    async def come_in(request: Request, visitor: Visitor) -> None:
        request.state.visitor = visitor
        told: dict[str, Any] = request.state.told
        told["visitor"] = visitor.name if keys else None  # an address is a person's own
        await limits.count(visitor.name)

    return by_key if keys else by_address
