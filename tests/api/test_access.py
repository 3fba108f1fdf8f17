"""With keys, everything but health needs one, and the adapter that answers is what counts."""

from __future__ import annotations

import re
from typing import Any

import httpx
import openai
import pytest
from fastapi.routing import iter_route_contexts
from served import Site
from starlette.routing import Mount
from visitors import ALICE, BOB, client_of

from api.app import Api
from ui.safety import OPEN_TO_ALL

SENTIMENT, TRANSLATION = "/sentiment Lovely.", "/translate fr Good night."
FREE = {"/healthz", "/readyz"}
# Of Gradio's own routes, what a browser needs to show the login; none has anything of a visitor.
LOGIN_PAGE = re.compile(
    r"/$|/log(in|out)/?$|/(svelte|static|assets|pwa_icon)(/|$)|/favicon.ico|/robots.txt"
    r"|/manifest.json|/theme.css|" + "|".join(map(re.escape, OPEN_TO_ALL))
)


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def operations(api: Api) -> list[tuple[str, str]]:
    paths = api.app.openapi()["paths"]
    return [(method, path) for path, item in paths.items() for method in item]


def test_every_route_but_health_needs_a_key(locked: Site) -> None:
    anybody = httpx.Client(base_url=locked.address)
    for method, path in [*operations(locked.api), ("get", "/openapi.json")]:
        url = path.format(model="auto")
        body = {"model": "auto", "messages": asked("Hello"), "input": "Hello"}
        wrong = {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ALICE}"}
        for headers in ({}, *wrong, {"Cookie": f"key={ALICE}"}):
            answer = anybody.request(method, url, headers=headers, json=body)
            if path in FREE:
                assert answer.status_code == 200, path
            else:
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_key_opens_and_an_unknown_one_is_said_to_be(locked: Site) -> None:
    assert client_of(locked, ALICE).models.list().data
    with pytest.raises(openai.AuthenticationError, match="is not known"):
        client_of(locked, "alice-but-wrong").models.list()


def test_the_adapter_that_answers_is_what_counts(locked: Site) -> None:
    bob, alice = client_of(locked, BOB), client_of(locked, ALICE)
    create = bob.chat.completions.create
    assert create(model="sentiment-en", messages=asked("x")).choices
    assert create(model="auto", messages=asked(SENTIMENT)).choices[0].message.content
    assert create(model="fake", messages=asked("x")).choices, "the base is free"
    before = locked.agent.engine.passes
    for stream in (False, True):
        with pytest.raises(openai.PermissionDeniedError, match="'translation-en-fr'"):
            create(model="translation-en-fr", messages=asked("x"), stream=stream)
        with pytest.raises(openai.PermissionDeniedError, match="may use sentiment-en"):
            create(model="auto", messages=asked(TRANSLATION), stream=stream)
    assert locked.agent.engine.passes == before
    assert alice.chat.completions.create(model="auto", messages=asked(TRANSLATION)).choices
    found = httpx.post(
        f"{locked.address}/v1/classify",
        json={"input": "x", "task": "sentiment"},
        headers={"Authorization": f"Bearer {BOB}"},
    )
    assert found.status_code == 200


def test_a_second_step_that_is_not_allowed_ends_the_turn(locked: Site) -> None:
    text = "Is this positive, and what is it in French? The food was good."
    with pytest.raises(openai.PermissionDeniedError):
        client_of(locked, BOB).chat.completions.create(model="auto", messages=asked(text))


def test_a_key_sees_the_models_it_may_use(locked: Site) -> None:
    assert "translation-en-fr" not in [m.id for m in client_of(locked, BOB).models.list()]
    assert "translation-en-fr" in [m.id for m in client_of(locked, ALICE).models.list()]
    with pytest.raises(openai.NotFoundError):
        client_of(locked, BOB).models.retrieve("translation-en-fr")


def gradio_routes(site: Site) -> list[tuple[str, str]]:
    """Method and path of everything that Gradio answers."""
    host: Any = site.server.page
    mounted = next(route.app for route in host.routes if isinstance(route, Mount))
    found = iter_route_contexts(mounted.routes)
    return sorted({(method, str(one.path)) for one in found for method in one.methods or ()})


def test_the_page_and_its_endpoints_need_a_login(locked: Site) -> None:
    anybody = httpx.Client(base_url=locked.address, timeout=10)
    tried = [route for route in gradio_routes(locked) if not LOGIN_PAGE.match(route[1])]
    for method, path in tried:
        with anybody.stream(method, re.sub(r"{[^}]*}", "x", path)) as answer:
            assert answer.status_code in {401, 403, 404, 405}, (method, path)
    assert ("POST", "/gradio_api/queue/join") in tried
    assert len(tried) > 40
    home = anybody.get("/").text
    assert '"auth_required":true' in home.replace(" ", "")
    assert "pb-composer" not in home


def test_a_login_opens_the_page(locked: Site) -> None:
    with httpx.Client(base_url=locked.address) as browser:
        wrong = {"username": "bob", "password": ALICE}
        assert browser.post("/login", data=wrong).status_code == 400
        assert browser.get("/config").status_code == 401
        right = {"username": "bob", "password": BOB}
        assert browser.post("/login", data=right).status_code == 200
        assert browser.get("/config").status_code == 200
        assert browser.get("/gradio_api/app_id").status_code == 200
        # The login is for the page: it does not open the API, to which another site could post.
        assert browser.get("/v1/models").status_code == 401


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b"x" * 3_000_000])
def test_a_key_comes_before_the_body(locked: Site, body: bytes) -> None:
    url, head = f"{locked.address}/v1/chat/completions", {"Content-Type": "application/json"}
    answer = httpx.post(url, content=body, headers=head)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
