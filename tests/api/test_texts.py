"""Texts as they stand, with their tokens' log-likelihoods; and texts as vectors."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tiny
from openai import OpenAI
from served import Site, served
from visitors import client_of

from agent.agent import Agent
from agent.planning.planner import Planner
from engine.interface import ScoreRequest
from engine.load_base import load_base
from tasks.spec import load_tasks

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def real(
    planner: Planner, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A tiny model that really computes, with an adapter."""
    adapters = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(tiny_folder, adapters, "red", 0)
    engine = tiny.engine(load_base(tiny.settings(tiny_folder)), adapters)
    with served(Agent(engine, load_tasks(), planner)) as site:
        yield site
    engine.close()


@pytest.fixture(scope="module")
def base(real: Site) -> str:
    return real.agent.engine.fingerprints()["base"]


def test_a_text_goes_on_as_it_stands(real: Site, base: str) -> None:
    made = client_of(real).completions.create(model=base, prompt="Once upon", temperature=0)
    assert made.usage
    assert made.usage.prompt_tokens == len("Once upon")
    assert made.usage.completion_tokens <= 16
    text = made.choices[0].text
    assert text
    echoed = client_of(real).completions.create(
        model=base, prompt=list(b"Once upon"), temperature=0, echo=True
    )
    tokens: Any = real.agent.engine
    assert echoed.choices[0].text.endswith(text) or echoed.choices[0].text
    same = client_of(real).completions.create(
        model=base, prompt=tokens.tokens("Once upon"), temperature=0, echo=True
    )
    assert same.choices[0].text == "Once upon" + text


@pytest.mark.parametrize("model", ["base", "red"])
def test_the_prompts_log_likelihoods_are_those_of_scoring(
    real: Site, base: str, model: str
) -> None:
    """What lm_eval's `local-completions` asks for, and reads."""
    engine: Any = real.agent.engine
    ids = engine.tokens("The train leaves at nine.")
    made = client_of(real).completions.create(
        model=base if model == "base" else model,
        prompt=[ids, ids[:5]],
        temperature=0,
        max_tokens=1,
        logprobs=1,
        echo=True,
    )
    adapter = None if model == "base" else model
    expected = engine.score(ScoreRequest(tuple(ids[:1]), (tuple(ids[1:]),), adapter)).continuations[
        0
    ]
    assert [choice.index for choice in made.choices] == [0, 1]
    logprobs = made.choices[0].logprobs
    assert logprobs
    assert logprobs.token_logprobs
    assert logprobs.top_logprobs
    assert logprobs.token_logprobs[0] is None
    assert logprobs.token_logprobs[1:-1] == pytest.approx(list(expected.logprobs), abs=1e-5)
    likeliest = [
        value == max(top.values())
        for value, top in zip(
            logprobs.token_logprobs[1:-1], logprobs.top_logprobs[1:-1], strict=True
        )
    ]
    assert likeliest == list(expected.greedy)
    assert "".join(logprobs.tokens or []).startswith("The train leaves at nine.")
    assert logprobs.text_offset == list(range(len(ids) + 1))
    assert len((made.choices[1].logprobs or logprobs).tokens or []) == 6


def test_nothing_need_be_written(real: Site, base: str) -> None:
    made = client_of(real).completions.create(
        model=base, prompt="Just this.", max_tokens=0, echo=True, logprobs=0
    )
    assert made.choices[0].text == "Just this."
    assert made.choices[0].finish_reason == "length"
    assert made.choices[0].logprobs
    assert made.choices[0].logprobs.top_logprobs is None
    assert made.usage
    assert made.usage.completion_tokens == 0
    empty = client_of(real).completions.create(model=base, prompt="", echo=True, logprobs=0)
    assert empty.choices[0].logprobs
    assert empty.choices[0].logprobs.text_offset[:1] in ([0], [])


def test_a_stream_has_the_same_texts(real: Site, base: str) -> None:
    asked: dict[str, Any] = {
        "model": base,
        "prompt": ["Once", "Twice"],
        "n": 2,
        "seed": 3,
        "logprobs": 2,
        "echo": True,
    }
    whole = client_of(real).completions.create(**asked)
    texts, scored, ends = [""] * 4, [0] * 4, [""] * 4
    for chunk in client_of(real).completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            scored[choice.index] += len((choice.logprobs and choice.logprobs.tokens) or [])
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    assert texts == [choice.text for choice in whole.choices]
    assert ends == [choice.finish_reason for choice in whole.choices]
    assert texts[0].startswith("Once")
    assert texts[2].startswith("Twice")
    assert texts[0] != texts[1], "each has a seed of its own"
    assert scored == [
        len((choice.logprobs and choice.logprobs.tokens) or []) for choice in whole.choices
    ]
    assert whole.usage
    assert whole.usage.prompt_tokens == len("Once") + len("Twice"), "each is read once"


@pytest.mark.parametrize(
    ("change", "raised", "said"),
    [
        ({"model": "auto"}, openai.UnprocessableEntityError, "routes messages"),
        ({"model": "nope"}, openai.NotFoundError, "no model named"),
        ({"prompt": [10**6]}, openai.UnprocessableEntityError, "1000000 is no token"),
        ({"prompt": "x" * 900}, openai.BadRequestError, "tokens long"),
        ({"prompt": ["x"] * 60, "n": 3}, openai.UnprocessableEntityError, "are 180 texts"),
        ({"suffix": "the end"}, openai.BadRequestError, "knows no 'suffix'"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "at most 4096 tokens"),
    ],
)
def test_what_cannot_be_is_named(
    real: Site, base: str, change: dict[str, Any], raised: type[Exception], said: str
) -> None:
    with pytest.raises(raised, match=said):
        client_of(real).completions.create(**{"model": base, "prompt": "x", **change})


def test_an_answer_in_json_is_json_on_a_real_model(real: Site, base: str) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}},
        "required": ["mood"],
        "additionalProperties": False,
    }
    for model in (base, "red"):
        made = client_of(real).chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "How was it?"}],
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
        assert made.choices[0].message.content in {'{"mood": "good"}', '{"mood": "bad"}'}
        assert made.choices[0].finish_reason == "stop"


def test_texts_become_vectors_that_say_how_near_they_are(client: OpenAI) -> None:
    texts = ["A cat sat on the mat.", "Shares fell sharply.", "A kitten sat on a rug."]
    made = client.embeddings.create(model=ENCODER, input=texts)
    cat, shares, kitten = (np.array(one.embedding) for one in made.data)
    assert math.isclose(float(cat @ cat), 1.0, abs_tol=1e-5)
    assert cat @ kitten > 0.5 > cat @ shares
    assert made.usage.prompt_tokens == made.usage.total_tokens > 15
    one = client.embeddings.create(model=ENCODER, input=texts[0], encoding_format="float")
    assert np.allclose(one.data[0].embedding, cat, atol=1e-5)
    raw: Any = client.embeddings.create(model=ENCODER, input=texts[0], encoding_format="base64")
    decoded = np.frombuffer(base64.b64decode(raw.data[0].embedding), dtype="<f4")
    assert np.allclose(decoded, cat, atol=1e-5)


def test_a_text_longer_than_the_encoder_reads_is_refused_and_not_cut(client: OpenAI) -> None:
    long = "word " * 200
    whole = client.embeddings.create(model=ENCODER, input=[long, long + "castle " * 30])
    assert whole.data[0].embedding != whole.data[1].embedding, "the end is read, too"
    with pytest.raises(openai.BadRequestError, match="reads 256") as raised:
        client.embeddings.create(model=ENCODER, input=["short", "word " * 300])
    assert raised.value.code == "context_length_exceeded"


def test_vectors_that_cannot_be_are_named(client: OpenAI, site: Site) -> None:
    with pytest.raises(openai.NotFoundError, match=ENCODER):
        client.embeddings.create(model="text-embedding-3-small", input="x")
    with pytest.raises(openai.BadRequestError, match="encoder has 384"):
        client.embeddings.create(model=ENCODER, input="x", dimensions=8)
    for ids in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="send texts"):
            client.embeddings.create(model=ENCODER, input=ids)
    answer = httpx.post(f"{site.address}/v1/embeddings", json={"model": ENCODER, "input": []})
    assert answer.status_code == 400
