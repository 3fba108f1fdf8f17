"""Log in to the page with Hugging Face: a Space's own login, and who may come in by it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path

from fastapi import FastAPI
from httpx2 import HTTPError
from huggingface_hub import OAuthUserInfo, parse_huggingface_oauth
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import SettingsError
from ui.words import phrase

STYLE = Path(__file__).with_name("login.css")


class Login:
    """Who is logged in, and whether that opens the page.

    Args:
        users: names of users or organisations on Hugging Face; none lets everyone in who logs in.
    """

    def __init__(self, users: Iterable[str] = ()) -> None:
        self._users = {name.casefold() for name in users}

    def attach(self, host: FastAPI) -> None:
        """Add the routes of the login, and the session, to the app that the page is mounted on.

        Raises:
            SettingsError: the Space has no login, or outside of one there is no token to try with.
        """
        from gradio.oauth import attach_oauth

        try:
            attach_oauth(host)
        except (ValueError, ImportError, HTTPError) as error:
            raise SettingsError(f"hf_login: {str(error).strip().splitlines()[0]}") from error

    def name(self, request: HTTPConnection) -> str | None:
        """The user who is logged in and may come in; the page's `gr.Request.username`."""
        user = _user(request)
        return user.preferred_username if user and self._may_enter(user) else None

    def page(self, request: HTTPConnection) -> Response:
        """What whoever may not come in sees instead."""
        user = _user(request)
        if request.url.path != "/":
            return PlainTextResponse("Log in first", 401)
        return HTMLResponse(_draw(user.preferred_username if user else ""))

    def _may_enter(self, user: OAuthUserInfo) -> bool:
        names = {user.preferred_username, *(org.preferred_username for org in user.orgs or ())}
        return not self._users or not self._users.isdisjoint(map(str.casefold, names))


class Gate:
    """Middleware that lets nothing of the page through to whoever may not come in."""

    def __init__(self, app: ASGIApp, login: Login) -> None:
        self.app = app
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "http" and self._login.name(request := Request(scope)) is None:
            await self._login.page(request)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _user(request: HTTPConnection) -> OAuthUserInfo | None:
    login = parse_huggingface_oauth(request)  # type: ignore[arg-type]  # it reads the session alone
    return login.user_info if login and login.access_token_expires_at > datetime.now() else None


def _draw(stranger: str) -> str:
    """A page without a script, in both languages: log in, or log out as somebody else."""
    text = phrase("login.stranger", name=stranger) if stranger else phrase("login.text")
    act = phrase("login.other") if stranger else phrase("login.act")
    lines = "".join(
        f'<p lang="{lang}">{escape(words)}</p>' for lang, words in text.model_dump().items()
    )
    target = "/logout" if stranger else "/login/huggingface"
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Patchbay</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE.read_text(encoding="utf-8")}</style></head>
<body><main><h1>Patchbay</h1>{lines}
<a href="{target}">{escape(act.en)} · <span lang="zh">{escape(act.zh)}</span></a>
</main></body></html>"""
