"""Limits: each is a clear answer, for the one who is over it and for nobody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from served import Site
from visitors import ALICE, BOB, KEYS, client_of

HELLO: Any = [{"role": "user", "content": "/chat Hello"}]
LONG: Any = [{"role": "user", "content": "word " * 300}]


def test_too_many_requests_within_a_minute(serve: Callable[..., Site]) -> None:
    site = serve({"visitor_rate": 3, "api_keys": KEYS})
    alice, bob = client_of(site, ALICE), client_of(site, BOB)
    for _ in range(3):
        alice.models.list()
    with pytest.raises(openai.RateLimitError, match="3 requests within a minute") as raised:
        alice.models.list()
    assert int(raised.value.response.headers["retry-after"]) > 0
    assert raised.value.code == "rate_limit_exceeded"
    assert bob.models.list().data, "another visitor is not over it"
    assert httpx.get(f"{site.address}/healthz").status_code == 200


def test_too_many_answers_at_one_time(serve: Callable[..., Site]) -> None:
    site = serve({"visitor_running": 1, "api_keys": KEYS}, delay=0.05)
    alice, bob = client_of(site, ALICE), client_of(site, BOB)
    with alice.chat.completions.create(model="fake", messages=LONG, stream=True) as stream:
        next(iter(stream))
        with pytest.raises(openai.RateLimitError, match="1 of your requests are running"):
            alice.chat.completions.create(model="fake", messages=HELLO)
        assert bob.chat.completions.create(model="fake", messages=HELLO).choices
    time.sleep(0.5)
    assert alice.chat.completions.create(model="fake", messages=HELLO).choices


def test_too_many_answers_of_all_together(serve: Callable[..., Site]) -> None:
    site = serve({"max_running": 1, "max_waiting": 1}, delay=0.05)
    client = client_of(site)
    streams = [
        client.chat.completions.create(model="fake", messages=LONG, stream=True) for _ in range(2)
    ]
    with pytest.raises(openai.RateLimitError, match="2 requests are running or waiting"):
        client.chat.completions.create(model="fake", messages=HELLO)
    for stream in streams:
        stream.close()


def test_an_answer_is_as_long_as_the_server_allows(serve: Callable[..., Site]) -> None:
    site = serve({"max_answer_tokens": 5})
    made = client_of(site).chat.completions.create(model="fake", messages=LONG, max_tokens=500)
    assert made.usage
    assert made.usage.completion_tokens == 5
    assert made.choices[0].finish_reason == "length"


def test_every_visitor_gets_the_answer_to_the_own_request(site: Site) -> None:
    """Sixteen at a time, each with a mark of its own, over all tasks, whole and streamed."""
    texts = ["/chat {}", "/translate fr {} is here.", "/summarize {} was seen.", "{} and so on"]

    create = client_of(site, timeout=60).chat.completions.create

    def visit(number: int) -> None:
        mark, model = f"mark{number:04}x", "auto" if number % 5 else "fake"
        request: Any = [{"role": "user", "content": texts[number % 4].format(mark)}]
        if number % 2:
            made: Any = create(model=model, messages=request)
            said = made.choices[0].message.content
        else:
            chunks = list(create(model=model, messages=request, stream=True))
            said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            made = chunks[-1]
        translated = model == "auto" and number % 4 == 1
        adapter = "translation-en-fr" if translated else None
        assert made.patchbay["steps"][-1]["adapter"] == adapter
        assert mark in said
        assert said.count("mark") == 1, "nobody else's words"

    with ThreadPoolExecutor(16) as crowd:
        list(crowd.map(visit, range(200)))
