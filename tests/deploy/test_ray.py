"""Two replicas behind one API, as Ray Serve runs them: the same answers, also when one is killed.

Needs the extra `ray` in an environment of its own. With -s the figures are printed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import free_port

from core import paths
from core.paths import REPOSITORY
from engine.adapters import AdapterLibrary
from engine.starter import STARTERS

pytestmark = [
    pytest.mark.ray,
    pytest.mark.starter,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"),
]
ENGINE_AWAY = "engine_away"
BASE = STARTERS["starter"].name
REQUESTS = {
    "translation": "/translate fr The train leaves at nine o'clock tomorrow morning.",
    "classification": "/classify sport, music The band played until midnight.",
    "sentiment": "/sentiment I loved every minute of this film.",
    "summarization": "/summarize We present a method for training small models on little data. "
    "It needs no labels. On five data sets it is as good as models of ten times the size.",
    "generation": "/chat Tell me about the sea in three sentences.",
}
CLIENTS, BEFORE, AFTER = 5, 15.0, 25.0  # clients at one time; seconds before and after the kill
LOADS_OF_REPLICAS = """
import json, ray
from ray import serve
ray.init(address="auto", log_to_driver=False)
engine = serve.get_deployment_handle("Engine", "patchbay")
replicas = []
while len({one.process for one in replicas}) < 2:
    replicas += [one.result() for one in [engine.info.remote() for _ in range(20)]]
print(json.dumps({one.process: one.loads for one in replicas}))
"""


@dataclass(frozen=True)
class Serving:
    address: str
    home: Path
    environment: dict[str, str]

    def replicas(self) -> set[int]:
        """Processes of our engines; there may be others' on this machine."""
        processes = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cmdline").read_bytes().startswith(
                    b"ray::ServeReplica:patchbay:Engine"
                ) and str(self.home).encode() in (folder / "environ").read_bytes():
                    processes.add(int(folder.name))
            except OSError:
                continue  # it has ended
        return processes

    def work(self, pids: set[int] | None = None) -> float:
        """Seconds of CPU that replicas have used."""
        ticks = os.sysconf("SC_CLK_TCK")
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids or self.replicas()]
        fields = [stat.rpartition(")")[2].split() for stat in stats]
        return sum(int(field[11]) + int(field[12]) for field in fields) / ticks

    def ask(self, text: str, **more: Any) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        body = {
            "model": "auto",
            "messages": messages,
            "temperature": 0,
            "seed": 1,
            "max_tokens": 40,
        }
        url = f"{self.address}/v1/chat/completions"
        return httpx.post(url, json=body | more, timeout=120)

    def loads(self) -> dict[str, int]:
        """How often each replica has loaded an adapter."""
        done = subprocess.run(
            [sys.executable, "-c", LOADS_OF_REPLICAS],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
        loads: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        return loads


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder, port = tmp_path_factory.mktemp("ray"), free_port()
    environment = {
        **os.environ,
        "PATCHBAY_HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "RAY_worker_niceness": "0",  # Ray's own is 15: other work here would keep them waiting
    }
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.ray", "--port", str(port), "--cpus", "4"],
            cwd=REPOSITORY,
            env=environment,
            stdout=out,
            stderr=out,
        )
    deadline = time.monotonic() + 400
    while "Ready:" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(1)
    yield Serving(f"http://127.0.0.1:{port}", folder, environment)
    process.terminate()
    assert process.wait(90) == 0


@pytest.fixture(scope="module")
def alone(serving: Serving) -> dict[str, tuple[str, dict[str, str]]]:
    """Adapter -> the text and the fingerprints of its request, when nothing else is asked."""
    answers = {}
    for adapter, text in REQUESTS.items():
        answer = serving.ask(text).json()
        (step,) = answer["patchbay"]["steps"]
        assert step["adapter"] == adapter
        answers[adapter] = answer["choices"][0]["message"]["content"], step["fingerprints"]
    return answers


def test_two_replicas_answer_by_the_adapters_of_this_machine(
    serving: Serving, alone: dict[str, tuple[str, dict[str, str]]]
) -> None:
    assert len(serving.replicas()) == 2
    shelf = AdapterLibrary(paths.adapter_dirs(BASE), BASE, None)
    for adapter, (text, fingerprints) in alone.items():
        assert text
        assert fingerprints["base"] == BASE
        assert fingerprints.get("adapter") == shelf.fingerprint(adapter)
    assert len({text for text, _ in alone.values()}) == len(REQUESTS)
    assert alone["translation"][0].startswith("Le train")
    assert alone["sentiment"][0] == "positive"


def test_what_a_replica_refuses_is_the_visitors_error(serving: Serving) -> None:
    refused = serving.ask("/chat " + "word " * 8000)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    refused = serving.ask("x", model="nobody's")
    assert refused.status_code == 404


def test_a_closed_connection_ends_the_computation_in_the_replica(serving: Serving) -> None:
    body = {
        "model": BASE,
        "messages": [{"role": "user", "content": "Tell me a very long story about the sea."}],
        "max_tokens": 2000,
        "stream": True,
    }
    with httpx.stream("POST", f"{serving.address}/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        for _ in range(20):
            next(lines)
        began = serving.work()
        time.sleep(2)
        busy = serving.work() - began
    time.sleep(1)
    began = serving.work()
    time.sleep(2)
    idle = serving.work() - began
    print(f"\nreplicas' CPU in 2 s: {busy:.2f} s answering, {idle:.2f} s after the close")
    assert idle < busy / 3


def test_a_killed_replica_costs_no_wrong_answer(
    serving: Serving, alone: dict[str, tuple[str, dict[str, str]]]
) -> None:
    load = Load(serving, alone)
    threads = [threading.Thread(target=load.client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(BEFORE)
    before, loads = sum(load.outcomes.values()), serving.loads()
    victim = min(serving.replicas())
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    time.sleep(AFTER)
    load.ended.set()
    for thread in threads:
        thread.join(120)
    while len(serving.replicas() - {victim}) < 2:
        assert time.monotonic() < killed + 240, "no other took its place"
        time.sleep(1)
    back = time.monotonic() - killed
    print(f"\n{sum(load.outcomes.values())} requests, {before} before the kill: {load.outcomes}")
    print(f"longest {load.longest:.1f} s; another replica's process after {back:.0f} s")
    print(f"adapters loaded before the kill, by process: {loads}")
    assert not load.wrong
    assert load.outcomes["answered"] > before / 2
    assert sum(loads.values()) < 2 * len(REQUESTS), "adapters are not loaded everywhere"
    assert serving.ask(REQUESTS["sentiment"]).status_code == 200


def test_what_had_begun_breaks_off_and_what_had_not_is_answered_by_another(
    serving: Serving,
) -> None:
    """A story's stream may end with an error; a long text whose reading has begun is read again."""
    story = {"model": BASE, "max_tokens": 150, "stream": True}
    question = "Tell me a long story about the sea."
    whole = written(serving.ask(question, **story))[0]
    review = "/sentiment I loved every minute of this film. " + "The picture is good. " * 300
    began = {pid: serving.work({pid}) for pid in serving.replicas()}
    label = serving.ask(review).json()["choices"][0]["message"]["content"]
    victim = max(began, key=lambda pid: serving.work({pid}) - began[pid])  # it has the adapter
    with ThreadPoolExecutor(8) as pool:
        stories = [pool.submit(serving.ask, question, **story) for _ in range(4)]
        time.sleep(1.5)
        labels = [pool.submit(serving.ask, review) for _ in range(4)]
        time.sleep(1)
        os.kill(victim, signal.SIGKILL)
        ends = [written(one.result()) for one in stories]
        judged = [one.result() for one in labels]
    print(f"\nstories: {Counter(code or 'whole' for _, code in ends)}")
    for text, code in ends:
        assert text == whole if code is None else (code, whole[: len(text)]) == (ENGINE_AWAY, text)
    assert ENGINE_AWAY in {code for _, code in ends}
    assert [one.json()["choices"][0]["message"]["content"] for one in judged] == [label] * 4


def written(answer: httpx.Response) -> tuple[str, str | None]:
    """A stream's text, and the code of the error that ended it."""
    assert answer.status_code == 200, answer.text
    chunks = chunks_of(answer)
    choices = [chunk["choices"][0] for chunk in chunks if chunk.get("choices")]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    codes = [chunk["error"]["code"] for chunk in chunks if "error" in chunk]
    assert len(codes) + answer.text.count("[DONE]") == 1, "it ends once"
    return text, codes[0] if codes else None


def chunks_of(stream: httpx.Response) -> list[dict[str, Any]]:
    data = [line[6:] for line in stream.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


class Load:
    """Clients that ask one request after another, and look at each answer."""

    def __init__(self, serving: Serving, alone: dict[str, tuple[str, dict[str, str]]]) -> None:
        self.serving, self.alone = serving, alone
        self.ended = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest = 0.0

    def client(self, number: int) -> None:
        names = list(REQUESTS)
        turn = number
        while not self.ended.is_set():
            adapter, turn = names[turn % len(names)], turn + 1
            began = time.monotonic()
            try:
                outcome = self.streamed(adapter) if turn % 2 else self.whole(adapter)
            except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
                outcome = "wrong"
                self.wrong.append(f"{adapter}: {error!r}")
            self.outcomes[outcome] += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def whole(self, adapter: str) -> str:
        answer = self.serving.ask(REQUESTS[adapter])
        if answer.status_code != 200:
            return self.retryable(answer)
        completion = answer.json()
        (step,) = completion["patchbay"]["steps"]
        self.check(adapter, completion["choices"][0]["message"]["content"], step["fingerprints"])
        return "answered"

    def streamed(self, adapter: str) -> str:
        answer = self.serving.ask(REQUESTS[adapter], stream=True)
        if answer.status_code != 200:
            return self.retryable(answer)
        text, code = written(answer)
        if code:
            assert code == ENGINE_AWAY
            assert self.alone[adapter][0].startswith(text.rstrip()), "a part of the answer, once"
            return "broken off"
        (step,) = chunks_of(answer)[-1]["patchbay"]["steps"]
        self.check(adapter, text, step["fingerprints"])
        return "answered"

    def retryable(self, answer: httpx.Response) -> str:
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == ENGINE_AWAY
        assert "retry-after" in answer.headers
        return "503"

    def check(self, adapter: str, text: str, fingerprints: dict[str, str]) -> None:
        assert text.strip() == self.alone[adapter][0].strip()
        assert fingerprints == self.alone[adapter][1]
