"""The starter stands in for a server that dies: a real process, killed, stopped, started anew."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny
from polling import eventually
from served import free_port, served

from agent.agent import Agent
from agent.events import Event, Failed, Notice, StepFinished, StepStarted, TextDelta
from agent.planning.planner import Planner
from core.errors import SettingsError
from core.paths import REPOSITORY
from core.settings import Settings
from engine.engine import TorchEngine
from engine.load import load_engine, load_fallback
from tasks.spec import load_tasks

pytestmark = pytest.mark.starter
FRENCH = "/translate fr Good morning."


class Server:
    """A process that has a base called `base` and no adapters, always at one address."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/v1"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, REPOSITORY / "tests" / "scripted.py", str(self.port)],
            stderr=subprocess.DEVNULL,
        )
        assert eventually(self.answers, 30)

    def answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self.address}/models").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


# The tests follow one another: in the first the server starts twice, in the third it dies for good.
@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.kill()


def settings(server: Server) -> Settings:
    return Settings(engine="openai", address=server.address, base="base", stand_in="starter")


@pytest.fixture
def agent(server: Server, starter_engine: TorchEngine, planner: Planner) -> Iterator[Agent]:
    there = load_engine(settings(server))
    yield Agent(there, load_tasks(), planner, fallback=starter_engine)
    there.close()


def ask(agent: Agent, text: str = FRENCH) -> tuple[list[Event], float]:
    began = time.monotonic()
    return list(agent.answer(text, explain=False)), time.monotonic() - began


def only(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def stood_in(events: list[Event]) -> list[Any]:
    return [notice for notice in only(events, Notice) if notice.kind == "stand_in"]


def base_of(events: list[Event]) -> str:
    (finished,) = only(events, StepFinished)
    return str(finished.fingerprints["base"])


def wait_until_back(agent: Agent) -> None:
    assert eventually(lambda: base_of(ask(agent)[0]) == "base", 30)


def test_a_server_that_is_away_or_dead_is_stood_in_for_until_it_is_back(
    server: Server, agent: Agent, starter_engine: TorchEngine
) -> None:
    assert_stood_in_for(agent, starter_engine)
    server.start()
    wait_until_back(agent)
    assert not stood_in(ask(agent)[0])
    server.kill()
    assert_stood_in_for(agent, starter_engine)
    assert_stood_in_for(agent, starter_engine)
    server.start()
    wait_until_back(agent)
    assert not stood_in(ask(agent)[0])


def assert_stood_in_for(agent: Agent, starter: TorchEngine) -> None:
    events, seconds = ask(agent)
    assert seconds < 10
    assert len(stood_in(events)) == 1
    told = {notice.kind for notice in only(events, Notice)}
    assert told <= {"stand_in", "unsure"}, "what the server's base lacks is not said of the starter"
    started = only(events, StepStarted)[-1]
    assert started.adapter == "translation", "the server's base has none"
    (finished,) = only(events, StepFinished)
    assert finished.fingerprints["base"] == starter.fingerprints()["base"]
    assert finished.fingerprints["adapter"] == starter.adapters.fingerprint(started.adapter)
    assert "Bon" in finished.text


def test_a_server_that_hangs_is_not_waited_for(server: Server, agent: Agent) -> None:
    assert base_of(ask(agent)[0]) == "base"
    time.sleep(1.5)  # not heard for longer than it is taken to be there unasked
    assert server.process
    server.process.send_signal(signal.SIGSTOP)
    try:
        events, seconds = ask(agent)
        assert base_of(events) != "base"
        assert seconds < 10
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_until_back(agent)


def test_an_answer_that_has_begun_is_not_begun_again(server: Server, agent: Agent) -> None:
    heard: list[Event] = []
    for event in agent.answer("/chat " + "word " * 100):
        heard.append(event)
        if isinstance(event, TextDelta):
            server.kill()
    assert isinstance(heard[-1], Failed)
    assert heard[-1].kind == "EngineAway"
    assert len(only(heard, StepStarted)) == 1


def test_the_api_says_so(agent: Agent, starter_engine: TorchEngine) -> None:
    asked = {"messages": [{"role": "user", "content": "Good morning."}], "max_tokens": 8}
    with served(agent) as site:
        url = f"{site.address}/v1/chat/completions"
        made = httpx.post(url, json={"model": "base", **asked}, timeout=60).json()
        (step,) = made["patchbay"]["steps"]
        assert "does not answer" in step["notices"][0]
        assert step["fingerprints"]["base"] == starter_engine.fingerprints()["base"]
        body = {"input": "I loved every minute of it.", "task": "sentiment"}
        made = httpx.post(f"{site.address}/v1/classify", json=body, timeout=60).json()
        assert made["label"] == "positive"
        (step,) = made["patchbay"]["steps"]
        assert step["adapter"] == "sentiment"
        counts = httpx.get(f"{site.address}/metrics").text
        assert 'patchbay_notices_total{kind="stand_in"} 2.0' in counts


def test_an_adapter_that_only_the_server_has_is_not_stood_in_for(
    agent: Agent, home: Path, tiny_folder: Path
) -> None:
    folder = tiny.add_adapter(tiny_folder, home / "adapters", "only-there", 1)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "base"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with served(agent) as site:
        messages = [{"role": "user", "content": "Good morning."}]
        url = f"{site.address}/v1/chat/completions"
        refused = httpx.post(url, json={"model": "only-there", "messages": messages}, timeout=60)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "engine_away"
    assert "only-there was trained on 'base'" in refused.json()["error"]["message"]
    assert "retry-after" in refused.headers


def test_stop_ends_what_stands_in(agent: Agent) -> None:
    stop = threading.Event()
    heard: list[Event] = []
    for event in agent.answer("/chat Tell me a long story about the sea.", stop=stop):
        heard.append(event)
        if isinstance(event, TextDelta):
            stop.set()
    assert only(heard, StepFinished)[0].stopped == "stop"


def test_what_stands_in_is_the_starter_whatever_the_profile_says() -> None:
    given = Settings(
        engine="openai", address="http://127.0.0.1:9/v1", base="other/base", quantization="nf4",
        dtype="bfloat16", device="cuda", context_tokens=16384, stand_in="starter",
    )  # fmt: skip
    engine = load_fallback(given)
    assert engine is not None
    assert engine.fingerprints()["quantization"] == "int8"
    assert "translation" in engine.adapters.names()
    engine.close()
    assert load_fallback(Settings(engine="openai")) is None
    with pytest.raises(SettingsError, match="needs engine=openai"):
        load_fallback(Settings(stand_in="starter"))
