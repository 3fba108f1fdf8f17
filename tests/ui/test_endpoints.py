"""The page's endpoints for programs, asked by gradio_client and over MCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from served import Site, served

from agent.agent import Agent
from agent.feedback.store import Feedback
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks

KEYS = {
    "alice": "alice-0123456789abcdef",
    "bob": {"key": "bob-0123456789abcdef", "adapters": ["sentiment-en"]},
}
ADAPTERS = {"sentiment-en": "5e4713e47000", "translation-en-fr": "7a4516710000"}


@pytest.fixture(scope="module")
def serve(planner: Planner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = []

    def start(**settings: Any) -> Site:
        agent = Agent(FakeEngine(ADAPTERS), load_tasks(), planner)
        feedback = Feedback(tmp_path_factory.mktemp("feedback") / "feedback.sqlite")
        context = served(agent, feedback, **settings)
        opened.append(context)
        return context.__enter__()

    yield start
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def site(serve: Callable[..., Site]) -> Site:
    return serve()


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return Client(site.address, verbose=False, analytics_enabled=False)


def test_a_message_in_and_the_answer_with_its_route_out(client: Client) -> None:
    text, route = client.predict("Translate into French: Good night.", api_name="/chat")
    assert text == "[translation-en-fr] Good night."
    (step,) = route["steps"]
    assert (step["task"], step["adapter"]) == ("translation", "translation-en-fr")
    assert step["slots"]["target"] == "fr"
    assert step["fingerprints"]["adapter"] == "7a4516710000"
    assert route["reason"] == "router"


def test_each_skill_takes_its_slots(client: Client) -> None:
    text, route = client.predict("Good night.", target="French", api_name="/translation")
    assert text == "[translation-en-fr] Good night."
    assert route["steps"][0]["slots"]["target"] == "fr"
    text, route = client.predict("trains, trains", ["ships", "trains"], api_name="/classification")
    assert text == "trains"
    assert set(route["steps"][0]["labels"]) == {"ships", "trains"}


def test_only_the_named_ones_are_listed(client: Client) -> None:
    listed: Any = client.view_api(return_format="dict", print_info=False)
    assert set(listed["named_endpoints"]) == {
        "/chat",
        "/classification",
        "/sentiment",
        "/summarization",
        "/translation",
    }
    assert listed["unnamed_endpoints"] == {}
    assert "routed to the skills" in listed["named_endpoints"]["/chat"]["description"]


def test_an_error_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no text to answer"):
        client.predict("  ", api_name="/chat")
    with pytest.raises(AppError, match="is no language"):
        client.predict("Good night.", target="Klingonish", api_name="/translation")


def test_the_limits_hold(serve: Callable[..., Site]) -> None:
    client = Client(serve(visitor_rate=2).address, verbose=False, analytics_enabled=False)
    for _ in range(2):
        client.predict("/chat Hello", api_name="/chat")
    with pytest.raises(AppError, match="2 requests within a minute"):
        client.predict("/chat Hello", api_name="/chat")


def test_with_keys_it_wants_a_login_and_the_key_its_adapters(serve: Callable[..., Site]) -> None:
    locked = serve(api_keys=KEYS)
    with pytest.raises(Exception, match=r"[Ll]ogin|auth|401"):
        Client(locked.address, verbose=False).predict("/chat Hello", api_name="/chat")
    bob = Client(locked.address, verbose=False, auth=("bob", "bob-0123456789abcdef"))
    assert bob.predict("so positive", api_name="/sentiment")[0] == "positive"
    with pytest.raises(AppError, match="may use sentiment-en"):
        bob.predict("Good night.", target="French", api_name="/translation")
    assert httpx.post(f"{locked.address}/gradio_api/mcp/", json={}).status_code in {401, 404, 405}


def test_an_agent_finds_the_skills_as_tools(site: Site) -> None:
    async def ask() -> tuple[dict[str, Any], Any, Any]:
        address = f"{site.address}/gradio_api/mcp/"
        async with (
            streamable_http_client(address) as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            asked = {"text": "Good night.", "target": "French"}
            done = await session.call_tool("translation", asked)
            failed = await session.call_tool("translation", asked | {"target": "Klingonish"})
            return tools, done, failed

    with ThreadPoolExecutor(1) as beside:  # the browser of other tests keeps a loop in this thread
        tools, done, failed = beside.submit(asyncio.run, ask()).result()
    assert set(tools) == {"chat", "classification", "sentiment", "summarization", "translation"}
    schema = tools["translation"].inputSchema
    assert schema["required"] == ["text"]
    assert "by name or code" in schema["properties"]["target"]["description"]
    said = json.dumps([part.text for part in done.content])
    assert "[translation-en-fr] Good night." in said
    assert failed.isError
