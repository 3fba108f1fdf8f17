"""Hooks for Schemathesis: bodies that name a model which is there, so that answers are made too."""

from __future__ import annotations

import random
from typing import Any

import schemathesis

MODELS = ["auto", "fake", "sentiment-en", "sentence-transformers/all-MiniLM-L6-v2"]


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Put a real model's name where a name may be, and a person's words at the end."""
    if not isinstance(body, dict):
        return body
    model, messages = body.get("model"), body.get("messages")
    if isinstance(model, str) and 0 < len(model) <= 200:
        body["model"] = random.Random(model).choice(MODELS)
    if isinstance(messages, list) and 0 < len(messages) < 512:
        body["messages"] = [*messages, {"role": "user", "content": "Hello you."}]
    return body
