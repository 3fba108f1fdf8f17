"""A Space's login: gradio's own OAuth routes against an OpenID provider of the tests' own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio.oauth
import httpx
import pytest
from browse import send
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, expect
from served import Site, free_port, served, served_app

from agent.agent import Agent
from agent.feedback.store import Feedback
from core.errors import SettingsError
from ui.login import Login


@dataclass
class Provider:
    """Logs in whoever comes as `user`, a member of `orgs`, for `seconds`."""

    address: str
    user: str = "alice"
    orgs: list[str] = field(default_factory=list)
    seconds: int = 3600


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    state = Provider(f"http://127.0.0.1:{free_port()}")
    with served_app(_provider(state), state.address):
        yield state


def _provider(state: Provider) -> FastAPI:
    app, key, nonces = FastAPI(), RSAKey.generate_key(2048, {"kid": "one"}), {}

    @app.get("/.well-known/openid-configuration")
    def configuration() -> dict[str, Any]:
        return {
            "issuer": state.address,
            "authorization_endpoint": f"{state.address}/oauth/authorize",
            "token_endpoint": f"{state.address}/oauth/token",
            "jwks_uri": f"{state.address}/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    @app.get("/oauth/authorize")
    def authorize(request: Request) -> RedirectResponse:
        code = secrets.token_hex(8)
        nonces[code] = request.query_params.get("nonce")
        back = request.query_params["redirect_uri"]
        state_sent = request.query_params["state"]
        return RedirectResponse(f"{back}&code={code}&state={state_sent}")

    @app.post("/oauth/token")
    async def token(request: Request) -> dict[str, Any]:
        code = str((await request.form())["code"])
        now = int(time.time())
        claims = {
            "iss": state.address,
            "aud": "client",
            "sub": "1",
            "iat": now,
            "exp": now + 3600,
            "nonce": nonces.pop(code),
            "name": state.user.title(),
            "preferred_username": state.user,
            "orgs": [{"sub": org, "name": org, "preferred_username": org} for org in state.orgs],
        }
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
        kind = {"token_type": "bearer", "expires_in": state.seconds, "scope": "openid profile"}
        return {"access_token": "hf_oauth", "id_token": signed, **kind}

    @app.get("/jwks")
    def keys() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False)]}

    return app


@pytest.fixture
def space(
    provider: Provider,
    fake_agent: Callable[..., Agent],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Site]:
    """A page on a Space, for the users alice and those of the organisation `friends`."""
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "you/patchbay")
    monkeypatch.setattr(gradio.oauth, "OAUTH_CLIENT_ID", "client")
    monkeypatch.setattr(gradio.oauth, "OAUTH_CLIENT_SECRET", "secret")
    monkeypatch.setattr(gradio.oauth, "OAUTH_SCOPES", "openid profile")
    monkeypatch.setattr(gradio.oauth, "OPENID_PROVIDER_URL", provider.address)
    provider.user, provider.orgs, provider.seconds = "alice", [], 3600
    feedback = Feedback(tmp_path / "feedback.sqlite")
    with served(fake_agent(), feedback, hf_login=True, hf_users="Alice, friends") as site:
        yield site


@pytest.mark.browser
def test_a_user_logs_in_and_asks(space: Site, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(space.address)
    expect(page.get_by_text("登录后即可使用本页面。")).to_be_visible()
    page.get_by_role("link", name="Log in with Hugging Face").click()
    page.wait_for_selector("html[data-ready]")
    expect(send(page, "Hello there")).to_contain_text("[base] Hello there")
    page.goto(f"{space.address}/logout")
    expect(page.get_by_text("Log in to use this page.")).to_be_visible()
    page.close()


@pytest.mark.browser
def test_only_those_named_come_in(space: Site, provider: Provider, chromium: Browser) -> None:
    provider.user = "mallory"
    page = chromium.new_page()
    page.goto(f"{space.address}/login/huggingface")
    expect(page.get_by_text("You are logged in as mallory")).to_be_visible()
    assert page.request.get(f"{space.address}/config").status == 401
    page.get_by_role("link", name="Log out").click()
    provider.orgs = ["Friends"]
    page.get_by_role("link", name="Log in with Hugging Face").click()
    page.wait_for_selector("html[data-ready]")
    page.close()


@pytest.mark.browser
def test_a_login_ends(space: Site, provider: Provider, chromium: Browser) -> None:
    provider.seconds = -1
    page = chromium.new_page()
    page.goto(f"{space.address}/login/huggingface")
    expect(page.get_by_text("Log in to use this page.")).to_be_visible()
    page.close()


def test_without_a_login_nothing_of_the_page_or_the_api_answers(space: Site) -> None:
    client = httpx.Client(base_url=space.address)
    for path in ("/config", "/gradio_api/info", "/gradio_api/startup-events", "/theme.css", "/x"):
        assert client.get(path).status_code == 401, path
    for path in ("/gradio_api/queue/join", "/gradio_api/run/send", "/login", "/gradio_api/upload"):
        assert client.post(path, json={}).status_code == 401, path
    first = client.get("/")
    assert "/login/huggingface" in first.text
    assert "default-src 'self'" in first.headers["Content-Security-Policy"]
    assert client.get("/healthz").status_code == 200
    answer = client.get("/v1/models")
    assert answer.status_code == 401
    client.cookies.set("session", "eyJvYXV0aF9pbmZvIjogMX0=.aaaa.bbbb")  # forged
    assert client.get("/config").status_code == 401


def test_a_space_without_a_login_of_its_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "you/patchbay")
    monkeypatch.setattr(gradio.oauth, "OAUTH_CLIENT_ID", None)
    with pytest.raises(SettingsError, match="hf_oauth: true"):
        Login().attach(FastAPI())
