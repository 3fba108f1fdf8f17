"""Visitors who close the connection, or stop reading, or never speak: nothing goes on for them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from polling import eventually, settled
from served import Site
from visitors import client_of

from api.server import Connection

LONG = {"model": "fake", "messages": [{"role": "user", "content": "word " * 2000}]}
LONG_ANSWER = {**LONG, "max_tokens": 2000}


@pytest.fixture(scope="module")
def slow(serve_shared: Callable[..., Site]) -> Site:
    return serve_shared(delay=0.02, settings={"visitor_running": 2})


def assert_still(site: Site) -> None:
    """Nothing is computed any more, and nobody is admitted any more."""
    assert eventually(lambda: site.agent.limits.queue.running == 0)
    assert settled(lambda: site.agent.engine.passes)
    assert eventually(lambda: not site.agent.limits.queue.admitted)


def begun(site: Site) -> Callable[[], bool]:
    """Whether more has been computed than now."""
    before = site.agent.engine.passes
    return lambda: site.agent.engine.passes > before


def test_closing_a_stream_ends_the_computation(slow: Site) -> None:
    stream = client_of(slow).chat.completions.create(**LONG_ANSWER, stream=True)
    for count, _ in enumerate(stream):
        if count == 5:
            break
    made = slow.agent.engine.passes
    stream.close()
    assert_still(slow)
    assert slow.agent.engine.passes - made < 50  # of 2,000; the closing itself takes a moment


@pytest.mark.slow
def test_closing_before_a_whole_answer_ends_the_computation(slow: Site) -> None:
    before, started = slow.agent.engine.passes, begun(slow)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{slow.address}/v1/chat/completions", json=LONG_ANSWER, timeout=0.5)
    assert started()
    assert_still(slow)
    assert slow.agent.engine.passes - before < 100


@pytest.mark.slow
def test_closing_before_a_label_ends_the_computation(serve: Callable[..., Site]) -> None:
    site = serve(delay=3.0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{site.address}/v1/classify", json={"input": "x"}, timeout=0.5)
    assert eventually(lambda: site.agent.limits.queue.running == 0, 1.5)


def test_killing_curl_ends_the_computation(slow: Site) -> None:
    started = begun(slow)
    body = json.dumps({**LONG_ANSWER, "stream": True})
    head = ["-H", "Content-Type: application/json", "-d", body]
    curl = subprocess.Popen(
        ["curl", "-sN", f"{slow.address}/v1/chat/completions", *head], stdout=subprocess.PIPE
    )
    assert eventually(started)
    curl.send_signal(signal.SIGKILL)
    curl.wait()
    assert_still(slow)


def raw_post(site: Site, body: dict[str, Any], buffer: int | None = None) -> socket.socket:
    """A request whose answer nobody has read."""
    host, port = site.address.removeprefix("http://").split(":")
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect((host, int(port)))
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    )
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
    return connection


def ended(site: Site) -> float:
    """Requests that have come to an end, whatever became of them."""
    counts = [sample for metric in site.api.metrics.requests.collect() for sample in metric.samples]
    return sum(sample.value for sample in counts if sample.name.endswith("_total"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("stay", [0.0, 0.01, 0.05])  # seconds: before, while and after it begins
def test_leaving_at_once_leaves_nothing(slow: Site, stream: bool, stay: float) -> None:
    before = ended(slow)
    connection = raw_post(slow, {**LONG_ANSWER, "stream": stream})
    time.sleep(stay)
    connection.close()
    assert eventually(lambda: ended(slow) > before)
    assert_still(slow)


@pytest.mark.slow
def test_a_reader_who_stops_holds_neither_place_nor_connection(
    serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "send_timeout", 1.0)
    site = serve()
    many = {"logprobs": True, "top_logprobs": 20, "stream": True, "max_tokens": 4000}
    words = [{"role": "user", "content": "word " * 4000}]  # 6 MB: more than the sockets hold
    with raw_post(site, {"model": "fake", "messages": words, **many}, 4096) as connection:
        assert connection.recv(10) == b"HTTP/1.1 2"
        assert eventually(lambda: len(site.server.server_state.connections) == 1)
        assert eventually(lambda: site.agent.limits.queue.running == 0, 20)
        assert eventually(lambda: not site.agent.limits.queue.admitted), (
            "free, though nobody has read"
        )
        assert eventually(lambda: not site.server.server_state.connections), "hung up on"
    assert site.server.server_state.total_requests == 0, "it was never sent to the end"
    assert httpx.get(f"{site.address}/healthz").status_code == 200


@pytest.mark.slow
def test_a_thousand_silent_connections_do_no_harm(
    serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "first_byte_timeout", 3.0)
    site = serve()
    host, port = site.address.removeprefix("http://").split(":")
    with ExitStack() as lines:
        for _ in range(1000):
            lines.enter_context(socket.create_connection((host, int(port))))
        made = client_of(site).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "/chat Hello"}]
        )
        assert made.choices[0].message.content == "[base] Hello"
        held = site.server.server_state.connections
        assert eventually(lambda: len(held) < 10, 20), "they were hung up on"
