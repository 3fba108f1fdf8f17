"""The whole house over HTTP: `python app.py` as it is started, the starter model, real adapters."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from polling import eventually, settled
from served import free_port

from core.settings import Settings
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, WriteRequest
from engine.load import load_engine
from tasks.spec import Decoding

pytestmark = pytest.mark.starter
ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "a-key-of-the-tests"


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "log"
        flags = ["--profile", "starter", "--port", self.address.rpartition(":")[2]]
        settings = {"PATCHBAY_HOME": str(folder), "PATCHBAY_API_KEYS": f'{{"tests": "{KEY}"}}'}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", *flags],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
            )
        assert eventually(self.ready, 180), self.log.read_text()

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "Ready in" in self.log.read_text()

    def passes(self) -> float:
        """Forward passes since the start, as /metrics has them."""
        text = httpx.get(f"{self.address}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
        found = re.search(r"^patchbay_forward_passes_total (\S+)", text, re.M)
        assert found
        return float(found[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("home"))
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture
def client(server: Process) -> OpenAI:
    return OpenAI(base_url=f"{server.address}/v1", api_key=KEY, max_retries=0, timeout=120)


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_real_answers_by_their_adapters(server: Process, client: OpenAI) -> None:
    made: Any = client.chat.completions.create(
        model="auto", messages=asked("Is this review positive or negative? I loved every minute.")
    )
    assert made.choices[0].message.content == "positive"
    assert made.patchbay["steps"][0]["adapter"] == "sentiment"

    made = client.chat.completions.create(
        model="auto",
        messages=asked("Translate into French: Good morning."),
        logprobs=True,
        top_logprobs=3,
    )
    assert "Bon" in made.choices[0].message.content
    step = made.patchbay["steps"][0]
    assert (step["task"], step["adapter"]) == ("translation", "translation")
    tokens = made.choices[0].logprobs.content
    assert "".join(token.token for token in tokens).strip() == made.choices[0].message.content
    assert all(token.logprob == token.top_logprobs[0].logprob for token in tokens), "greedy"
    assert made.usage.completion_tokens == len(tokens) + 1, "and the token that ends the turn"


def test_the_same_seed_gives_the_same_answer_and_a_stream_too(client: OpenAI) -> None:
    base = next(m.id for m in client.models.list() if m.patchbay["kind"] == "base")  # type: ignore[attr-defined]
    wanted: Any = {
        "model": base,
        "messages": asked("Name a colour and a fruit."),
        "temperature": 1.0,
        "seed": 5,
        "max_tokens": 20,
    }
    first = client.chat.completions.create(**wanted)
    chunks = list(client.chat.completions.create(**wanted, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == first.choices[0].message.content
    other = client.chat.completions.create(**{**wanted, "seed": 6})
    assert other.choices[0].message.content != text


def test_a_closed_connection_ends_the_computation(server: Process, client: OpenAI) -> None:
    story = asked("/chat Tell me a very long story about the sea, with every detail.")
    stream = client.chat.completions.create(model="auto", messages=story, stream=True)
    for count, _ in enumerate(stream):
        if count == 5:
            break
    stream.close()
    assert settled(server.passes, still=1)


def test_another_patchbay_can_be_the_engine(server: Process, starter_engine: TorchEngine) -> None:
    address = {"address": f"{server.address}/v1", "address_key": KEY}
    there = load_engine(
        Settings(engine="openai", base=starter_engine.fingerprints()["base"], **address)
    )
    assert there.fingerprints()["labels"] == "scored"
    request = WriteRequest(
        ({"role": "user", "content": "Good morning."},),
        "translation",
        Decoding(max_new_tokens=9),
    )
    texts = [
        "".join(piece.text for piece in engine.write(request) if isinstance(piece, Delta))
        for engine in (there, starter_engine)
    ]
    assert texts[0] == texts[1]
    choice = ChooseRequest(
        ({"role": "user", "content": "A dull, endless film."},),
        ("positive", "negative", "neutral"),
        "sentiment",
    )
    best = [
        max(found, key=found.__getitem__)
        for found in (engine.choose(choice).logprobs for engine in (there, starter_engine))
    ]
    assert best[0] == best[1]
    there.close()


def test_the_end_waits_for_the_answer_that_runs(server: Process, client: OpenAI) -> None:
    story = asked("/chat Tell me a long story about the sea.")
    stream = client.chat.completions.create(
        model="auto", messages=story, stream=True, max_tokens=300, temperature=0
    )
    chunks = iter(stream)
    next(chunks)
    server.process.send_signal(signal.SIGTERM)
    with httpx.Client(base_url=server.address) as probe:
        assert eventually(lambda: probe.get("/readyz").status_code == 503)
        assert probe.get("/readyz").json()["status"] == "draining"
        refused = probe.post(
            "/v1/route", json={"input": "Hello"}, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
    rest = list(chunks)
    assert rest[-1].choices[0].finish_reason in {"stop", "length"}
    assert server.process.wait(20) in {0, -signal.SIGTERM}
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "story" not in log, "no visitor's words"
    assert KEY not in log
