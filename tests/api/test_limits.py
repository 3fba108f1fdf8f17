"""Limits: each is a clear answer, for the one who is over it and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from polling import eventually
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
        with pytest.raises(
            openai.RateLimitError, match="1 of your requests are running or waiting"
        ):
            alice.chat.completions.create(model="fake", messages=HELLO)
        assert bob.chat.completions.create(model="fake", messages=HELLO).choices
    assert eventually(lambda: not site.agent.limits.queue.admitted)
    assert alice.chat.completions.create(model="fake", messages=HELLO).choices


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_visitor_with_many_requests_does_not_hold_back_one_with_one(
    serve: Callable[..., Site],
) -> None:
    site = serve({"max_running": 1, "api_keys": KEYS}, delay=0.02)
    ended: list[str] = []

    def ask(who: str, key: str) -> None:
        words: Any = [{"role": "user", "content": "word " * 20}]
        client_of(site, key).chat.completions.create(model="fake", messages=words)
        ended.append(who)

    with ThreadPoolExecutor(9) as crowd:
        for _ in range(8):
            crowd.submit(ask, "alice", ALICE)
        assert eventually(lambda: site.agent.limits.queue.waiting == 7)
        crowd.submit(ask, "bob", BOB)
    assert ended.index("bob") <= 3
    assert len(ended) == 9


@pytest.mark.slow
def test_a_stream_that_waits_says_its_place_and_leaves_the_queue_when_it_is_closed(
    serve: Callable[..., Site],
) -> None:
    site = serve({"max_running": 1}, delay=0.05)
    queue, body = site.agent.limits.queue, {"model": "fake", "messages": LONG, "stream": True}
    url = f"{site.address}/v1/chat/completions"
    with httpx.stream("POST", url, json=body) as first:
        lines = first.iter_lines()  # its end closes the stream
        assert next(lines).startswith("data:")
        with httpx.stream("POST", url, json=body) as second:
            comments = (text for text in second.iter_lines() if text.startswith(":"))
            assert next(comments) == ": number 1 in line"
            assert (queue.running, queue.waiting) == (1, 1)
            assert "patchbay_waiting 1.0" in httpx.get(f"{site.address}/metrics").text
        assert eventually(lambda: (queue.running, queue.waiting) == (1, 0))


@pytest.mark.parametrize(("model", "text"), [("fake", "{}"), ("auto", "/translate fr {}")])
def test_an_answer_is_as_long_as_the_server_allows(
    serve: Callable[..., Site], model: str, text: str
) -> None:
    site = serve({"max_answer_tokens": 5})
    messages: Any = [{"role": "user", "content": text.format("A word or two. " * 9)}]
    made = client_of(site).chat.completions.create(model=model, messages=messages)
    assert made.usage
    assert made.usage.completion_tokens == 5
    assert made.choices[0].finish_reason == "length"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_longer_answer_than_the_server_gives_is_refused(
    serve: Callable[..., Site], name: str
) -> None:
    site = serve({"max_answer_tokens": 5})
    create: Any = client_of(site).chat.completions.create
    with pytest.raises(
        openai.BadRequestError, match=f"{name} is too large: 6.*at most 5"
    ) as raised:
        create(model="fake", messages=LONG, **{name: 6})
    assert raised.value.param == name
    assert create(model="fake", messages=LONG, **{name: 5}).usage.completion_tokens == 5
    schema = httpx.get(f"{site.address}/openapi.json").json()["components"]["schemas"]
    assert schema["ChatRequest"]["properties"][name]["anyOf"][0]["maximum"] == 5


@pytest.mark.slow
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
