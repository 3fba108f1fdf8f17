"""Chat completions, asked by the official client."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any

import openai
import pytest
from openai import OpenAI
from served import Site, served
from visitors import client_of

from agent.agent import Agent
from agent.planning.planner import Planner
from core.errors import PatchbayError
from engine.fake import FakeEngine
from engine.interface import Delta, Usage, WriteRequest
from tasks.spec import load_tasks

COMPOUND = "Summarize this and put it in French: The bridge is old. It will be closed."


TOOL = {"type": "function", "function": {"name": "now"}}


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def last_call(site: Site) -> WriteRequest:
    call = site.agent.engine.calls[-1]  # type: ignore[attr-defined]
    assert isinstance(call, WriteRequest)
    return call


def test_auto_routes_and_says_what_answered(client: OpenAI) -> None:
    made = client.chat.completions.create(
        model="auto", messages=asked("Translate into French: The train leaves at nine.")
    )
    assert made.choices[0].message.content == "[translation-en-fr] The train leaves at nine."
    assert made.choices[0].finish_reason == "stop"
    (step,) = made.patchbay["steps"]  # type: ignore[attr-defined]
    assert (step["task"], step["adapter"]) == ("translation", "translation-en-fr")
    assert step["slots"]["target"] == "fr"
    assert step["fingerprints"]["adapter"] == "7a4516710000"
    assert made.patchbay["reason"] == "router"  # type: ignore[attr-defined]
    usage = made.usage
    assert usage
    assert usage.completion_tokens == 6
    assert usage.total_tokens == usage.prompt_tokens + 6 > 6


def test_a_compound_request_answers_with_every_step(client: OpenAI) -> None:
    made = client.chat.completions.create(model="auto", messages=asked(COMPOUND))
    steps = made.patchbay["steps"]  # type: ignore[attr-defined]
    assert [step["task"] for step in steps] == ["summarization", "translation"]
    texts = [step["text"] for step in steps]
    assert made.choices[0].message.content == "\n\n".join(texts)


@pytest.mark.parametrize("text", ["/chat One two three.", COMPOUND, "/sentiment so positive"])
def test_a_stream_has_the_same_text_and_ends_with_what_made_it(client: OpenAI, text: str) -> None:
    whole = client.chat.completions.create(model="auto", messages=asked(text), seed=1)
    chunks = list(
        client.chat.completions.create(
            model="auto",
            messages=asked(text),
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].system_fingerprint == whole.system_fingerprint
    assert chunks[-1].patchbay["steps"][0]["fingerprints"]["base"] == "fake"  # type: ignore[attr-defined]


def test_a_stream_without_usage_ends_with_what_made_it(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model="auto", messages=asked("/chat Hello"), stream=True)
    )
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].patchbay["steps"][0]["task"] == "generation"  # type: ignore[attr-defined]


def test_raw_messages_are_gone_on_with_and_others_are_not(client: OpenAI, site: Site) -> None:
    messages: list[Any] = [
        {"role": "user", "content": "one two three"},
        {"role": "assistant", "content": "[sentiment-en] one"},
    ]
    body = {"continue_final_message": True, "add_generation_prompt": False}
    made = client.chat.completions.create(
        model="sentiment-en", messages=messages, extra_body=body | {"patchbay": {"raw": True}}
    )
    assert made.choices[0].message.content == " two three"
    assert [m["role"] for m in last_call(site).messages] == ["user"]
    for model, more in (("auto", []), ("fake", [{"role": "user", "content": "Go on"}])):
        with pytest.raises(openai.APIStatusError, match="continue_final_message"):
            client.chat.completions.create(model=model, messages=messages + more, extra_body=body)


def test_a_long_text_says_where_its_summary_comes_from(client: OpenAI) -> None:
    text = "\n\n".join(f"# Chapter {n}\n\n" + f"It rained in {n}. " * 150 for n in range(1, 8))
    made = client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": f"/summarize {text}"}]
    )
    (step,) = made.patchbay["steps"]  # type: ignore[attr-defined]
    assert step["parts_read"] == step["parts"] > 3
    first = step["sources"][0]
    begin, end = first["place"]
    assert first["words"] in step["text"] + text
    assert (first["paragraph"], first["heading"]) == (1, "Chapter 1")
    assert 0 <= begin < end <= len(text)


def test_the_base_and_a_raw_adapter_read_the_messages_as_they_stand(
    client: OpenAI, site: Site
) -> None:
    messages: list[Any] = [
        {"role": "developer", "content": "Shout."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "HI"},
        {"role": "user", "content": [{"type": "text", "text": "/translate"}]},
    ]
    made = client.chat.completions.create(
        model="sentiment-en", messages=messages, extra_body={"patchbay": {"raw": True}}
    )
    assert made.choices[0].message.content == "[sentiment-en] /translate"
    assert made.patchbay["reason"] is None  # type: ignore[attr-defined]
    call = last_call(site)
    assert call.adapter == "sentiment-en"
    assert [m["role"] for m in call.messages] == ["system", "user", "assistant", "user"]
    made = client.chat.completions.create(model="fake", messages=messages)
    assert made.choices[0].message.content == "[base] /translate"


def test_what_is_wished_reaches_the_engine(client: OpenAI, site: Site) -> None:
    made = client.chat.completions.create(
        model="auto",
        messages=asked("/chat one two three four"),
        temperature=0.5,
        top_p=0.25,
        max_tokens=3,
        seed=-7,
        stop=["none", "four"],
        logprobs=True,
        top_logprobs=2,
        extra_body={"repetition_penalty": 1.0},
    )
    call = last_call(site)
    drawn = call.decoding
    assert (drawn.temperature, drawn.top_p, drawn.repetition_penalty) == (0.5, 0.25, 1.0)
    assert drawn.seed == 2**64 - 7
    assert call.until == ("none", "four")
    assert made.choices[0].message.content == "[base] one two"
    assert made.choices[0].finish_reason == "length"
    logprobs = made.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert [token.token for token in logprobs.content] == ["[base]", " one", " two"]
    assert bytes(logprobs.content[1].bytes or []) == b" one"
    assert len(logprobs.content[1].top_logprobs) == 2


def test_a_stop_sequence_is_not_in_the_answer(client: OpenAI) -> None:
    for stream in (False, True):
        made: Any = client.chat.completions.create(
            model="fake", messages=asked("one two three"), stop="o th", stream=stream
        )
        if stream:
            chunks = list(made)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert chunks[-1].choices[0].finish_reason == "stop"
        else:
            text = made.choices[0].message.content
        assert text == "[base] one tw"


def test_the_seed_of_an_answer_is_told(client: OpenAI, site: Site) -> None:
    made = client.chat.completions.create(model="auto", messages=asked("/chat Hello"))
    assert made.patchbay["seed"] == last_call(site).decoding.seed  # type: ignore[attr-defined]


def test_models_are_the_router_the_base_and_the_adapters(client: OpenAI) -> None:
    assert [m.id for m in client.models.list()] == [
        "auto",
        "fake",
        "sentiment-en",
        "translation-en-fr",
        "sentence-transformers/all-MiniLM-L6-v2",
    ]
    one = client.models.retrieve("sentiment-en")
    known = one.patchbay  # type: ignore[attr-defined]
    own = {"kind": "adapter", "tasks": ["sentiment"], "fingerprint": "5e4713e47000"}
    assert known | own == known
    assert (known["measured"], known["promoted"]) == ([], False)


@pytest.mark.parametrize(
    ("change", "raised", "said"),
    [
        ({"model": "nope"}, openai.NotFoundError, "no model named 'nope'"),
        ({"temperature": 9}, openai.BadRequestError, "temperature: .* less than or equal to 2"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"n": 17}, openai.BadRequestError, "n: "),
        ({"tools": [TOOL]}, openai.BadRequestError, "tools: A model as small as this one cannot"),
        ({"tools": [{}]}, openai.BadRequestError, r"tools\.0\.\w+: Field required"),
        (
            {"tool_choice": "required"},
            openai.UnprocessableEntityError,
            "There are no tools to choose from",
        ),
        (
            {"functions": [{}]},
            openai.BadRequestError,
            "functions: OpenAI has tools and tool_choice",
        ),
        (
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]},
            openai.BadRequestError,
            "messages: A model as small as this one cannot",
        ),
        ({"logit_bias": {"1": 5}}, openai.BadRequestError, "knows no 'logit_bias'"),
        (
            {"response_format": {"type": "json_schema"}},
            openai.UnprocessableEntityError,
            "has no json_schema",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            openai.UnprocessableEntityError,
            "no content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "text": "x"}]}]},
            openai.BadRequestError,
            r"messages\.0\.content\.0: This server reads text and files, and no .* 'image_url'",
        ),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": asked(" ")}, openai.UnprocessableEntityError, "no text to answer"),
        (
            {"messages": [{"role": "assistant", "content": "x"}]},
            openai.UnprocessableEntityError,
            "must be the user's",
        ),
        ({"messages": asked("x " * 5000)}, openai.BadRequestError, "tokens long"),
        ({"messages": asked("/translat fr x")}, openai.NotFoundError, "Did you mean translat"),
        ({"stop": [""]}, openai.BadRequestError, "stop"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_and_name_the_mistake(
    client: OpenAI, stream: bool, change: dict[str, Any], raised: type[Exception], said: str
) -> None:
    body = {"model": "auto", "messages": asked("Hello"), **change}
    with pytest.raises(raised, match=said):
        client.chat.completions.create(**body, stream=stream)


class Breaking(FakeEngine):
    """Runs out of memory after three words."""

    def write(
        self, request: WriteRequest, stop: threading.Event | None = None
    ) -> Iterator[Delta | Usage]:
        yield from islice(super().write(request, stop), 3)
        raise PatchbayError("There was not enough memory for this request.")


def test_an_error_in_the_middle_of_a_stream_reaches_the_client(planner: Planner) -> None:
    agent, heard = Agent(Breaking(), load_tasks(), planner), []
    with served(agent) as site:
        stream = client_of(site).chat.completions.create(
            model="auto", messages=asked("/chat one two three four"), stream=True
        )
        with pytest.raises(openai.APIError, match="not enough memory") as raised:
            heard += stream
    assert not isinstance(raised.value, openai.APIStatusError)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_gets_an_answer_and_a_stream(site: Site) -> None:
    def curl(body: dict[str, Any]) -> str:
        url = f"{site.address}/v1/chat/completions"
        head = ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        ran = subprocess.run(
            ["curl", "-sS", "-N", url, *head],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return ran.stdout

    body = {"model": "auto", "messages": asked("/chat Hello there")}
    answer = json.loads(curl(body))
    assert answer["choices"][0]["message"]["content"] == "[base] Hello there"
    lines = [line for line in curl({**body, "stream": True}).splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == "[base] Hello there"
