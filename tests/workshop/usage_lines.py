"""Lines of usage as the tests of the watch make them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from workshop.usage import UsageLine

PLAIN: dict[str, Any] = {
    "at": "2026-11-27T08:00:00+00:00",
    "task": "sentiment",
    "language": "en",
    "adapter": "mine",
    "fingerprint": "abc",
    "choice": True,
    "length": 100.0,
    "word_length": 5.0,
    "letters": 0.8,
    "route": 0.95,
    "confidence": 0.9,
    "prompt_tokens": 30,
    "tokens": 3,
    "first_token": 0.1,
    "seconds": 0.2,
}


def line(**values: Any) -> UsageLine:
    return UsageLine(**{**PLAIN, **values})


def drawn(rng: np.random.Generator, count: int, **shift: float) -> Iterable[UsageLine]:
    """Lines without drift; `shift` adds to a number's mean, in standard deviations of it."""
    for _ in range(count):
        confidence = float(np.clip(rng.beta(8, 2) + 0.12 * shift.get("confidence", 0), 0, 1))
        yield line(
            length=float(rng.lognormal(4 + shift.get("length", 0), 1)),
            word_length=float(rng.normal(5 + shift.get("word_length", 0), 1)),
            letters=float(rng.beta(8, 2)),
            route=float(rng.beta(20, 1)),
            confidence=confidence,
        )
