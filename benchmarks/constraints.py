"""What it costs to hold an answer to a JSON schema, a token: `python -m benchmarks.constraints`.

The same base writes the same number of tokens with and without a schema. Beside that, the parts of
it that are the constraint's own: the vocabulary, once; the schema, once a request; mask and
advance, once a token.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from core.settings import load_settings
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import Grammar, Usage, WriteRequest
from engine.load_base import load_base
from tasks.spec import Decoding, Message

TOKENS, REPEATS = 128, 5
SCHEMA = {
    "type": "object",
    "properties": {
        "people": {
            "type": "array",
            "minItems": 40,  # so that no answer ends before the others
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                "required": ["name", "age"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["people"],
    "additionalProperties": False,
}
MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Write a list of forty people with their ages, as JSON."},
)


def main() -> None:
    """Print one JSON line."""
    base = load_base(load_settings(profile="starter"))
    grammar = Grammar("json_schema", json.dumps(SCHEMA))
    prepare, _ = _timed(base.constraints.prepare)
    compiled, constraint = _timed(lambda: base.constraints.of(grammar))
    size = len(base.model.prefill([0], base.model.new_cache(), None)[-1])
    sample = json.dumps({"people": [{"name": "Ann Lee", "age": 40 + i} for i in range(40)]})
    logits = np.zeros(size, dtype=np.float32)

    def step(token: int) -> None:
        np.where(constraint.allowed(size), logits, np.float32(-np.inf))
        constraint.advance(token)

    masks = [_timed(partial(step, token))[0] for token in base.template.text_ids(sample)]
    engine = TorchEngine(base, library_of(base))
    free = [_token_ms(engine, None) for _ in range(REPEATS)]
    held = [_token_ms(engine, grammar) for _ in range(REPEATS)]
    engine.close()
    figures = {
        "base": base.name,
        "vocabulary": size,
        "prepare_s": round(prepare, 2),
        "schema_ms": round(1000 * compiled, 2),
        "mask_ms": round(1000 * statistics.median(masks), 3),
        "mask_ms_max": round(1000 * max(masks), 3),
        "token_ms": round(statistics.median(free), 2),
        "token_ms_held": round(statistics.median(held), 2),
    }
    print(json.dumps(figures))


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def _token_ms(engine: TorchEngine, grammar: Grammar | None) -> float:
    """Milliseconds a token after the first, of an answer that runs to its full length."""
    drawn = Decoding(max_new_tokens=TOKENS, temperature=1.0)
    *_, usage = engine.write(WriteRequest(MESSAGES, decoding=drawn, grammar=grammar))
    assert isinstance(usage, Usage)
    return 1000 * (usage.seconds - usage.first_token) / max(1, usage.tokens - 1)


if __name__ == "__main__":
    main()
