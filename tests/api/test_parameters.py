"""What clients send along: what changes nothing is taken, what is wished reaches the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from served import Site

from engine.interface import Grammar, WriteRequest

CASES = Path(__file__).parents[1] / "data" / "client_requests.jsonl"
ASKED: list[Any] = [{"role": "user", "content": "/chat one two three"}]
NOTHING: dict[str, Any] = {  # sent by the clients of OpenAI, the AI SDK, LiteLLM and LangChain
    "tools": [],
    "tool_choice": "none",
    "functions": [],
    "logit_bias": {},
    "store": False,
    "metadata": {"run": "7"},
    "service_tier": "auto",
    "reasoning_effort": "low",
    "parallel_tool_calls": True,
    "modalities": ["text"],
    "response_format": {"type": "text"},
    "user": "me",
    "safety_identifier": "me",
    "prompt_cache_key": "mine",
    "something_new": None,
}


def last_call(site: Site) -> WriteRequest:
    call = site.agent.engine.calls[-1]  # type: ignore[attr-defined]
    assert isinstance(call, WriteRequest)
    return call


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_is_taken(client: OpenAI, name: str) -> None:
    made = client.chat.completions.create(
        model="auto", messages=ASKED, extra_body={name: NOTHING[name]}
    )
    assert made.choices[0].message.content == "[base] one two three"


@pytest.mark.parametrize("line", CASES.read_text().splitlines(), ids=range(7))
def test_requests_that_clients_have_sent(site: Site, line: str) -> None:
    case = json.loads(line)
    answer = httpx.post(f"{site.address}/v1/chat/completions", json=case["body"])
    assert answer.status_code == case["status"], answer.text
    assert case["says"] in answer.text


def test_an_earlier_answer_may_be_as_a_client_keeps_it(client: OpenAI, site: Site) -> None:
    kept = {
        "role": "assistant",
        "content": None,
        "annotations": [],
        "tool_calls": [],
        "audio": None,
    }
    messages: list[Any] = [{"role": "user", "content": "hi"}, kept, *ASKED]
    client.chat.completions.create(model="fake", messages=messages)
    assert [message["content"] for message in last_call(site).messages] == [
        "hi",
        "",
        ASKED[0]["content"],
    ]


def test_every_way_of_drawing_reaches_the_engine(client: OpenAI, site: Site) -> None:
    client.chat.completions.create(
        model="auto",
        messages=ASKED,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        stop=[f"stop {i}" for i in range(8)],
        extra_body={"top_k": 40, "min_p": 0.05},
    )
    drawn = last_call(site).decoding
    assert (drawn.frequency_penalty, drawn.presence_penalty) == (0.5, -0.5)
    assert (drawn.top_k, drawn.min_p) == (40, 0.05)
    assert len(last_call(site).until) == 8
    client.chat.completions.create(model="auto", messages=ASKED, extra_body={"top_k": -1})
    assert last_call(site).decoding.top_k == 0


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_are_drawn_with_seeds_of_their_own(
    client: OpenAI, site: Site, stream: bool
) -> None:
    before = len(site.agent.engine.calls)  # type: ignore[attr-defined]
    made: Any = client.chat.completions.create(
        model="auto", messages=ASKED, n=3, seed=5, stream=stream
    )
    texts, ends = ["", "", ""], [None, None, None]
    if stream:
        for choice in (choice for chunk in made for choice in chunk.choices):
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    else:
        assert [choice.index for choice in made.choices] == [0, 1, 2]
        texts = [choice.message.content for choice in made.choices]
        ends = [choice.finish_reason for choice in made.choices]
        assert made.usage.completion_tokens == 3 * 4
        once = client.chat.completions.create(model="auto", messages=ASKED)
        assert once.usage
        assert made.usage.prompt_tokens == once.usage.prompt_tokens, "it is read once"
    assert texts == ["[base] one two three"] * 3
    assert ends == ["stop"] * 3
    calls = site.agent.engine.calls[before:]  # type: ignore[attr-defined]
    assert [call.decoding.seed for call in calls][:3] == [5, 6, 7]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "json_object"}, {"type": "object"}),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "it", "schema": SCHEMA, "strict": True},
            },
            SCHEMA,
        ),
    ],
)
@pytest.mark.parametrize("model", ["auto", "fake", "translation-en-fr"])
def test_a_form_of_the_answer_reaches_the_engine(
    client: OpenAI, site: Site, wanted: Any, schema: Any, model: str
) -> None:
    """Of `auto` it is written by who writes freely, whatever the words would route to."""
    asked: list[Any] = [{"role": "user", "content": "Translate into French: Good night."}]
    made: Any = client.chat.completions.create(model=model, messages=asked, response_format=wanted)
    assert last_call(site).grammar == Grammar("json_schema", json.dumps(schema))
    (step,) = made.patchbay["steps"]
    expected = {"auto": "generation", "fake": None, "translation-en-fr": "translation"}
    assert step["task"] == expected[model]


def test_a_task_that_chooses_has_no_form(site: Site) -> None:
    body = {
        "model": "sentiment-en",
        "messages": [{"role": "user", "content": "so good"}],
        "response_format": {"type": "json_object"},
    }
    answer = httpx.post(f"{site.address}/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert "chooses a label" in answer.json()["error"]["message"]


def test_a_schema_that_is_not_supported_is_named(site: Site) -> None:
    wrong = {"type": "json_schema", "json_schema": {"schema": {"not": {"type": "string"}}}}
    body = {"model": "auto", "messages": ASKED, "response_format": wrong}
    answer = httpx.post(f"{site.address}/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert 'Unimplemented keys: ["not"]' in answer.json()["error"]["message"]
