"""Who comes into the workshop: its owner, and nobody by any other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Site

from agent.agent import Agent

ALICE, BOB = "alice-has-a-long-key", "bob-has-another-long-key"
PATHS = (
    "/workshop/", "/workshop", "/workshop/config", "/workshop/gradio_api/info",
    "/workshop/gradio_api/startup-events", "/workshop//", "/workshop/./config", "/%77orkshop/",
    "/workshop/gradio_api/queue/data?session_hash=x", "/workshop/theme.css",
    "/workshop/gradio_api/file=/etc/passwd", "/workshop/gradio_api/heartbeat/x",
    "/workshop/static/x", "/workshop/login",
)  # fmt: skip
POSTS = (
    "/workshop/gradio_api/queue/join", "/workshop/gradio_api/run/predict",
    "/workshop/gradio_api/upload", "/workshop/gradio_api/call/act", "/workshop/gradio_api/cancel",
    "/workshop/gradio_api/reset", "/workshop/login",
)  # fmt: skip


@pytest.fixture(scope="module")
def keyed(serve_shared: Callable[..., Site], fake_agent: Callable[..., Agent]) -> Site:
    """A page that wants a key, of two people one is the owner."""
    return serve_shared(fake_agent(), api_keys={"alice": ALICE, "bob": BOB}, owners="alice")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(follow_redirects=False, timeout=30) as one:
        yield one


def login(client: httpx.Client, site: Site, name: str, key: str) -> None:
    answer = client.post(f"{site.address}/login", data={"username": name, "password": key})
    assert answer.status_code == 200


def assert_closed(client: httpx.Client, address: str, **headers: str) -> None:
    for path in PATHS:
        answer = client.get(address + path, headers=headers)
        assert answer.status_code in {404, 401}, path
        assert "pb-workshop" not in answer.text, path
    for path in POSTS:
        assert client.post(address + path, json={}, headers=headers).status_code == 404, path
    assert client.get(f"{address}/workshop-door", headers=headers).json() == {"open": False}


def test_on_this_machine_without_keys_it_is_open(client: httpx.Client, quick: Site) -> None:
    assert client.get(f"{quick.address}/workshop-door").json() == {"open": True}
    assert client.get(f"{quick.address}/workshop/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
    ],
)
def test_what_a_proxy_brings_is_not_from_this_machine(
    client: httpx.Client, quick: Site, headers: dict[str, str]
) -> None:
    assert_closed(client, quick.address, **headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_elsewhere_reaches_nothing(
    client: httpx.Client, quick: Site, headers: dict[str, str]
) -> None:
    for path in POSTS:
        answer = client.post(quick.address + path, json={}, headers=headers)
        assert answer.status_code == 404, path
    assert client.get(f"{quick.address}/workshop/config", headers=headers).status_code == 404


def test_where_others_come_in_without_keys_it_is_closed(
    client: httpx.Client, serve: Callable[..., Site], fake_agent: Callable[..., Agent]
) -> None:
    site = serve(fake_agent(), host="0.0.0.0")
    assert_closed(client, site.address)


def test_a_stranger_and_another_key_find_nothing(client: httpx.Client, keyed: Site) -> None:
    assert_closed(client, keyed.address)
    assert_closed(client, keyed.address, Authorization=f"Bearer {ALICE}")
    login(client, keyed, "bob", BOB)
    assert client.get(keyed.address).status_code == 200
    assert_closed(client, keyed.address)


def test_a_cookie_that_was_made_up_opens_nothing(client: httpx.Client, keyed: Site) -> None:
    login(client, keyed, "bob", BOB)
    [(name, value)] = [
        (cookie.name, cookie.value)
        for cookie in client.cookies.jar
        if "unsecure" not in cookie.name
    ][:1] or [("access-token", "x")]
    client.cookies.clear()
    for made_up in ("alice", f"{value}x", ALICE, ""):
        assert_closed(client, keyed.address, Cookie=f"{name}={made_up}")


def test_the_owner_comes_in(client: httpx.Client, keyed: Site) -> None:
    login(client, keyed, "alice", ALICE)
    assert client.get(f"{keyed.address}/workshop-door").json() == {"open": True}
    answer = client.get(f"{keyed.address}/workshop/")
    assert answer.status_code == 200
    assert "patchbayWorkshop" in answer.text


def test_it_lists_no_files(client: httpx.Client, quick: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    for path in (
        f"/workshop/gradio_api/file={secret}",
        "/workshop/gradio_api/file=../settings.yaml",
    ):
        assert client.get(quick.address + path).status_code in {403, 404}
