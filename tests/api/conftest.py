"""The API on a fake engine, and the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from openai import OpenAI
from served import Site, served
from visitors import KEYS, client_of

from agent.agent import Agent
from agent.feedback.store import Feedback
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks

ADAPTERS = {"sentiment-en": "5e4713e47000", "translation-en-fr": "7a4516710000"}


@contextmanager
def serving(planner: Planner, folders: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Serve the real router over fake engines until the block ends."""
    with ExitStack() as sites:

        def start(
            settings: dict[str, Any] | None = None, page: bool = False, **engine: Any
        ) -> Site:
            agent = Agent(FakeEngine(ADAPTERS, **engine), load_tasks(), planner)
            folder = folders.mktemp("feedback")
            feedback = Feedback(folder / "feedback.sqlite") if page else None
            return sites.enter_context(served(agent, feedback, **(settings or {})))

        yield start


@pytest.fixture
def serve(
    planner: Planner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Serve the real router over a fake engine, `serve({"visitor_rate": 3}, delay=0.05)`, until
    the test ends.
    """
    with serving(planner, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def serve_shared(
    planner: Planner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """The same, for several tests, until the session ends."""
    with serving(planner, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def site(serve_shared: Callable[..., Site]) -> Site:
    """An engine that answers at once, and no keys."""
    return serve_shared(page=True)


@pytest.fixture(scope="session")
def locked(serve_shared: Callable[..., Site]) -> Site:
    """The same with keys: Alice's for everything, Bob's for one adapter."""
    return serve_shared({"api_keys": KEYS}, page=True)


@pytest.fixture
def client(site: Site) -> OpenAI:
    return client_of(site)
