"""One replica's engine, without Ray's cluster around it."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from core.errors import TooLong
from engine.interface import CompletionRequest, Delta, Usage
from tasks.spec import Decoding

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"),
]
NO_TOKEN = 10**6  # beyond every vocabulary: the engine fails as nobody expected


def replies(base: Path, request: CompletionRequest) -> list[Any]:
    from deploy.ray.replica import EngineReplica

    async def ask() -> list[Any]:
        replica = EngineReplica({"base": str(base), "quantization": "none", "context_tokens": 512})
        return [item async for item in replica.run(request, "")]

    return asyncio.run(ask())


def test_a_replica_gives_what_its_engine_gives(tiny_folder: Path) -> None:
    request = CompletionRequest((40, 41), None, Decoding(max_new_tokens=3))
    *pieces, last = replies(tiny_folder, request)
    assert all(isinstance(piece, Delta) for piece in pieces)
    assert isinstance(last, Usage)


def test_what_the_engine_refuses_is_a_reply(tiny_folder: Path) -> None:
    (refused,) = replies(tiny_folder, CompletionRequest((40,) * 600))
    with pytest.raises(TooLong, match="600 tokens long"):
        raise refused.as_error()


def test_an_error_that_nobody_expected_reaches_the_one_who_asked(tiny_folder: Path) -> None:
    with pytest.raises(IndexError):
        replies(tiny_folder, CompletionRequest((NO_TOKEN,), None, Decoding(max_new_tokens=3)))
