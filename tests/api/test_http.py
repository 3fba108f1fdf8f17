"""What HTTP clients and browsers do beside posting JSON: other names and origins, HEAD, gzip."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import httpx
import pytest
from served import Site

BODY = {"model": "auto", "messages": [{"role": "user", "content": "/chat Hello there"}]}
ELSEWHERE = "https://example.org"


def post(
    site: Site, content: bytes, path: str = "/v1/chat/completions", **headers: str
) -> httpx.Response:
    head = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{site.address}{path}", content=content, headers=head, timeout=60)


def error(answer: httpx.Response) -> str:
    """The message of an error in OpenAI's shape."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return str(body["error"]["message"])


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/", "/gradio_api/info"])
@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_on_loopback_a_strange_name_is_refused(site: Site, path: str, name: str) -> None:
    answer = httpx.get(f"{site.address}{path}", headers={"Host": name})
    assert answer.status_code in {400, 421}
    if answer.status_code == 421:
        assert "allowed_hosts" in error(answer)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:80", "[::1]:7860", "LOCALHOST:1"])
def test_on_loopback_its_own_names_are_answered(site: Site, name: str) -> None:
    assert httpx.get(f"{site.address}/healthz", headers={"Host": name}).status_code == 200


def test_a_name_of_a_proxy_is_a_setting(serve: Callable[..., Site]) -> None:
    named = serve({"allowed_hosts": ["Chat.Example.org:443"]})
    known = {"Host": "chat.example.org"}
    assert httpx.get(f"{named.address}/healthz", headers=known).status_code == 200
    strange = {"Host": "other.example.org"}
    assert httpx.get(f"{named.address}/healthz", headers=strange).status_code == 421


def test_elsewhere_any_name_is_answered_or_those_given(serve: Callable[..., Site]) -> None:
    strange = {"Host": "evil.example"}
    for names, status in ((), 200), (("chat.example.org",), 421), (("*",), 200):
        site = serve({"host": "0.0.0.0", "allowed_hosts": names})
        assert httpx.get(f"{site.address}/healthz", headers=strange).status_code == status


def test_no_page_elsewhere_may_read_it_by_default(site: Site) -> None:
    answer = post(site, json.dumps(BODY).encode(), Origin=ELSEWHERE)
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_elsewhere_may_where_the_setting_says_so(serve: Callable[..., Site]) -> None:
    site = serve({"cors_origins": [ELSEWHERE]})
    asked = {
        "Origin": ELSEWHERE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    url = f"{site.address}/v1/chat/completions"
    preflight = httpx.options(url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ELSEWHERE
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    for content in (json.dumps(BODY).encode(), b"{"):  # errors can be read, too
        answer = post(site, content, Origin=ELSEWHERE)
        assert answer.headers["access-control-allow-origin"] == ELSEWHERE
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
    other = httpx.options(url, headers=asked | {"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_head_is_a_get_without_a_body(site: Site) -> None:
    for path in ("/healthz", "/readyz", "/v1/models", "/metrics", "/openapi.json"):
        answer = httpx.head(f"{site.address}{path}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 10
    assert httpx.head(f"{site.address}/v1/chat/completions").status_code == 405
    assert httpx.head(f"{site.address}/").status_code == 200


def test_a_body_may_be_packed(site: Site) -> None:
    answer = post(site, gzip.compress(json.dumps(BODY).encode()), **{"Content-Encoding": "gzip"})
    assert answer.json()["choices"][0]["message"]["content"] == "[base] Hello there"


def test_a_body_that_unpacks_to_too_much_is_refused(site: Site) -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < 2_000_000
    answer = post(site, bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert "too many bytes" in error(answer)


@pytest.mark.parametrize(
    ("content", "encoding", "status", "said"),
    [
        (b"{}", "gzip", 400, "is gzip, and is not"),
        (gzip.compress(b"{}" * 100)[:-9], "gzip", 400, "does not end"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "does not end"),
        (b"{}", "br", 415, "or in gzip"),
    ],
)
def test_a_body_that_is_packed_wrongly_is_named(
    site: Site, content: bytes, encoding: str, status: int, said: str
) -> None:
    answer = post(site, content, **{"Content-Encoding": encoding})
    assert answer.status_code == status
    assert said in error(answer)


def test_a_body_that_is_not_utf8_is_named(site: Site) -> None:
    content = json.dumps(BODY, ensure_ascii=False).replace("Hello", "你好").encode("gbk")
    answer = post(site, content)
    assert answer.status_code == 400
    assert "UTF-8" in error(answer)


@pytest.mark.parametrize("path", ["/v1", "/v2/models", "/nothing", "/v1/nothing", "/api/chat"])
def test_what_is_not_there_is_an_error_in_the_same_shape(site: Site, path: str) -> None:
    for answer in (httpx.get(f"{site.address}{path}"), post(site, b"{}", path)):
        assert answer.status_code in {404, 405}
        assert path in error(answer)
