"""Visitors of the tests: their keys, and the official client."""

from __future__ import annotations

from typing import Any

from openai import OpenAI
from served import Site

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
KEYS = {"alice": ALICE, "bob": {"key": BOB, "adapters": ["sentiment-en"]}}


def client_of(site: Site, key: str = "none", **more: Any) -> OpenAI:
    """The official client, which does not try again by itself."""
    return OpenAI(base_url=f"{site.address}/v1", api_key=key, max_retries=0, **more)
