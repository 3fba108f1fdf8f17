"""A page on a fake engine, and a real browser to look at it.

Other suites bring their own agent: `serve(agent)` gives the address of a page that uses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    expect,
    sync_playwright,
)
from served import Site, served

from adapter_store.scope import Scope
from agent.agent import Agent
from agent.feedback.store import Feedback
from agent.plan import Plan, Step
from core.errors import UnknownName
from engine.fake import FakeEngine
from tasks.spec import Message, load_tasks

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WORDS = {  # a word of the request -> the task; the router has its own tests
    "translate": "translation",
    "翻译": "translation",
    "summarize": "summarization",
    "概括": "summarization",
    "review": "sentiment",
    "评论": "sentiment",
    "section": "classification",
}


class WordPlanner:
    """Plans a step for each known word, in the order they come; is unsure of a perhaps."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tasks
        self.given: list[str | None] = []  # what came as content, of every request

    def plan(
        self,
        text: str,
        history: Sequence[Message] = (),
        task: str | None = None,
        content: str | None = None,
    ) -> Plan:
        """A plan by the words of the request, or the chosen task."""
        self.given.append(content)
        if task is not None:
            if task not in self.tasks:
                raise UnknownName("task", task, self.tasks)
            return replace(self._plan([task], content or text, 1.0), reason="chosen")
        places = {WORDS[w]: text.lower().find(w) for w in WORDS if w in text.lower()}
        found = sorted(places, key=places.__getitem__) or ["generation"]
        worked_on = content or text
        if "perhaps" in text.lower():
            other = self._plan(["generation"], worked_on, 0.41)
            return replace(self._plan(found, worked_on, 0.48), alternative=other, uncertain=True)
        return self._plan(found, worked_on, 0.93)

    def _plan(self, tasks: Sequence[str], text: str, sure: float) -> Plan:
        steps = [
            Step(
                name,
                sure,
                {"target": "fr", "source": "en"} if name == "translation" else {},
                f"a sample request for {name}",
                text if index == 0 else None,
            )
            for index, name in enumerate(tasks)
        ]
        return Plan(tuple(steps), "router", 1.4)


@pytest.fixture(scope="session")
def fake_agent() -> Callable[..., Agent]:
    """Make an agent on a fake engine of its own, with an adapter for translation."""

    def make(**engine: Any) -> Agent:
        tasks = load_tasks()
        adapter = {"adapters": ["translation-fake"]}
        tasks["translation"] = tasks["translation"].model_copy(update=adapter)
        scopes = {"translation-fake": Scope(slots={"target": ["fr", "de"]})}
        fake = FakeEngine(adapters={"translation-fake": "0123456789ab"}, scopes=scopes, **engine)
        return Agent(fake, tasks, WordPlanner(list(tasks)))  # type: ignore[arg-type]

    return make


@contextmanager
def serving(folders: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Serve pages for agents until the block ends."""
    with ExitStack() as sites:

        def start(agent: Agent, **changes: Any) -> Site:
            feedback = Feedback(folders.mktemp("feedback") / "feedback.sqlite")
            return sites.enter_context(served(agent, feedback, **changes))

        yield start


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Serve pages for agents. They end with the test: sixty idle ones take half a core."""
    with serving(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def serve_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """The same, for several tests. They end with the session."""
    with serving(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def quick(serve_shared: Callable[[Agent], Site], fake_agent: Callable[..., Agent]) -> Site:
    """A page on an engine that answers at once and reads 300 tokens."""
    return serve_shared(fake_agent(context_tokens=300))


@pytest.fixture(scope="session")
def slow(serve_shared: Callable[[Agent], Site], fake_agent: Callable[..., Agent]) -> Site:
    """A page on an engine that makes a token every twentieth of a second."""
    return serve_shared(fake_agent(delay=0.05))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests. Without one they are skipped, except on CI, where they fail."""
    if not CHROMIUM.exists():
        missing = f"no browser at {CHROMIUM}; set CHROMIUM to one"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    expect.set_options(timeout=15_000)  # a busy machine is slow, not wrong
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, serve: Callable[..., Site]) -> Iterator[Callable[..., Page]]:
    """Open a site as a new visitor (`visit(site, locale="zh-CN")`) and wait for the page.

    Afterwards the visit must have made no request to another host and no script error. It ends
    before the test's own sites do.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def look(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            problems.append(f"external request: {request.url}")

    def enter(site: Site, **context: Any) -> Page:
        contexts.append(chromium.new_context(**{"locale": "en-US", **context}))
        contexts[-1].on("request", look)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        page.goto(site.address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert problems == []
