"""A real server on loopback, in a thread of its own, around any agent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from polling import eventually
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from agent.agent import Agent
from agent.feedback.hub_backup import HubBackup
from agent.feedback.store import Feedback
from agent.limits import Limits
from api.app import Api
from api.server import Server
from core.access import Keys
from core.settings import Settings
from ui.page import as_app, build_page
from workshop.watch import Watcher


@dataclass(frozen=True)
class Site:
    """What is being served."""

    address: str
    agent: Agent
    feedback: Feedback | None
    api: Api
    server: Server


@contextmanager
def served_app(app: ASGIApp, address: str) -> Iterator[None]:
    """Any app at an address of this machine, until the block ends."""
    port = int(address.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert eventually(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def served(
    agent: Agent,
    feedback: Feedback | None = None,
    backup: HubBackup | None = None,
    watcher: Watcher | None = None,
    **changes: Any,
) -> Iterator[Site]:
    """Serve the API until the block ends, and the page where there is a place for feedback.

    `changes` are settings.
    """
    settings = Settings(**{"port": free_port(), "drain_seconds": 0, **changes})
    keys = Keys(settings.api_keys, closed=settings.hf_login)
    agent.limits = Limits(settings)
    page: ASGIApp = PlainTextResponse("No page here", 404)
    if feedback:
        blocks = build_page(agent, profile="test", feedback=feedback, keys=keys, backup=backup)
        page = as_app(blocks, agent, keys, settings, feedback)
    api = Api(agent, settings, keys, watcher)
    ready = threading.Event()
    server = Server(api, page, settings, lambda address: ready.set())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(60)
    yield Site(server.address, agent, feedback, api, server)
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
