"""How a body wants its texts drawn -> the options of a turn."""

from __future__ import annotations

import secrets
from typing import Any

from agent.options import TurnOptions
from api.errors import ApiError
from api.schemas import (
    Sampling,
)
from core.access import Visitor
from core.settings import Settings

MAX_TOKENS_FIELDS = {"max_tokens", "max_completion_tokens"}


def turn_options(body: Sampling, visitor: Visitor, settings: Settings, **more: Any) -> TurnOptions:
    """What the body asks for; `more` are further fields of the options.

    Raises:
        ApiError: a longer answer than this server gives.
    """
    given = {name: getattr(body, name, None) for name in MAX_TOKENS_FIELDS}
    for name, wanted in given.items():
        if wanted and wanted > settings.max_answer_tokens:
            message = (
                f"{name} is too large: {wanted}. This server writes at most "
                f"{settings.max_answer_tokens} tokens."
            )
            raise ApiError(400, message, param=name)
    seed = secrets.randbits(32) if body.seed is None else body.seed
    return TurnOptions(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=None if body.top_k is None else max(0, body.top_k),  # vLLM's -1 is all, too
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        max_tokens=given["max_completion_tokens"] or given["max_tokens"],
        until=body.stops,
        seed=seed % 2**64,  # numpy's seeds are not negative
        allowed=visitor.allowed,
        visitor=visitor.name,
        **more,
    )
