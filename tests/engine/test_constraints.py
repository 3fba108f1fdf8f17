"""Answers held to a grammar: each by itself, with its adapter, on every kind of base."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import regex
import tiny

from core.errors import InputError
from engine.base_model import Base
from engine.constraints import require_supported
from engine.engine import TorchEngine
from engine.interface import CompletionRequest, Delta, Grammar, Usage, WriteRequest
from engine.load_base import load_base
from tasks.spec import Decoding

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["good", "bad", "开心"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["mood", "stars", "tags"],
    "additionalProperties": False,
}
JSON = Grammar("json_schema", json.dumps(SCHEMA))
PHONE = Grammar("regex", r"\+\d{2} \d{3}-\d{4}")
RHYME = Grammar("lark", 'start: "roses are " ("red" | "blue") ", " start | "the end"')


@pytest.fixture(scope="module", params=["none", "int8"])  # through transformers, and compiled
def engine(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TorchEngine]:
    adapters = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(tiny_folder, adapters, "red", 0)
    running = tiny.engine(
        load_base(tiny.settings(tiny_folder, quantization=request.param)), adapters
    )
    yield running
    running.close()


def ask(
    grammar: Grammar | None, adapter: str | None = None, seed: int = 0, **decoding: Any
) -> WriteRequest:
    drawn = Decoding(**{"max_new_tokens": 200, "temperature": 1.0, "seed": seed, **decoding})
    messages = ({"role": "user", "content": "How was it?"},)
    return WriteRequest(messages, adapter, drawn, grammar=grammar)


def written(engine: TorchEngine, request: WriteRequest | CompletionRequest) -> tuple[str, Usage]:
    *deltas, usage = engine.write(request)
    assert isinstance(usage, Usage)
    return "".join(item.text for item in deltas if isinstance(item, Delta)), usage


def fits(text: str) -> None:
    value = json.loads(text)
    assert set(value) == {"mood", "stars", "tags"}
    assert value["mood"] in {"good", "bad", "开心"}
    assert 1 <= value["stars"] <= 5
    assert len(value["tags"]) <= 2


@pytest.mark.parametrize("adapter", [None, "red"])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_random_model_writes_what_the_schema_says(
    engine: TorchEngine, adapter: str | None, temperature: float
) -> None:
    for seed in range(4):
        text, usage = written(engine, ask(JSON, adapter, seed, temperature=temperature))
        fits(text)
        assert usage.stopped == "end"


def test_other_grammars_hold_too(engine: TorchEngine) -> None:
    text, _ = written(engine, ask(PHONE))
    assert regex.fullmatch(r"\+\d{2} \d{3}-\d{4}", text)
    text, _ = written(engine, ask(RHYME))
    assert regex.fullmatch(r"(roses are (red|blue), )*the end", text)


def test_it_holds_for_token_ids_as_they_stand(engine: TorchEngine) -> None:
    prompt = tuple(engine.tokens("Say it: "))
    drawn = Decoding(max_new_tokens=200, temperature=1.0)
    fits(written(engine, CompletionRequest(prompt, decoding=drawn, grammar=JSON))[0])


def test_each_answer_has_its_own_and_the_others_none(engine: TorchEngine) -> None:
    requests = [ask(JSON, seed=1), ask(None, seed=1), ask(PHONE, "red"), ask(JSON, "red", 2)]
    alone = [written(engine, request)[0] for request in requests]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: written(engine, one)[0], requests * 3))
    assert together == alone * 3
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(alone[1])


def test_penalties_and_ends_do_not_break_it(engine: TorchEngine) -> None:
    penalties = {"repetition_penalty": 2.0, "frequency_penalty": 2.0, "dry_multiplier": 2.0}
    fits(written(engine, ask(JSON, **penalties, top_k=1))[0])
    text, usage = written(engine, ask(JSON, max_new_tokens=5))
    assert usage.stopped == "length"
    assert '{"mood'.startswith(text)


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        (Grammar("json_schema", '{"type": "strng"}'), "JSON schema: Invalid type: strng"),
        (Grammar("json_schema", '{"not": {"type": "string"}}'), "JSON schema: Unimplemented"),
        (Grammar("json_schema", "{"), "JSON schema: Expecting"),
        (Grammar("json_schema", '{"$ref": "#/nowhere"}'), "JSON schema: .*nowhere"),
        (Grammar("regex", "(?=a)b"), "regular expression: .*look-around"),
        (Grammar("lark", "start: what"), "Lark grammar: "),
    ],
)
def test_a_grammar_that_is_wrong_is_named(tiny_base: Base, grammar: Grammar, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny_base.constraints.of(grammar)
    with pytest.raises(InputError, match=said):
        require_supported(grammar)
