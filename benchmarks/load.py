"""Many visitors at one time: every answer right, nobody's words to another, waits and memory.

    pip install -c constraints.txt -e ".[bench]"
    python -m benchmarks.load                          # 50 visitors, 300 seconds
    python -m benchmarks.load --visitors 8 --seconds 40

Starts `python app.py` with the starter profile in a process of its own, and asks it over loopback.
Every visitor has a key and asks for all tasks, every other time as a stream, with a pause between
two requests. Each text has a mark that no other visitor's has. A fault is an error, an answer by
another task or adapter than the text asks for, or an answer with another visitor's mark. The page
is not asked. The last line on standard output is one JSON object: seconds and MB.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from locust import HttpUser, between, task  # replaces sockets and sleep by its own, so: early
from locust.env import Environment

# ruff: isort: split
import gevent
import requests
import typer

from core.paths import REPOSITORY
from core.terminal import aside

METRICS_VISITOR = "watcher"
STARTUP_TIMEOUT = 300  # seconds
MEMORY_SAMPLES = 10  # that memory is looked at
MARK = re.compile(r"mark[0-9a-f]{8}")
# Task, adapter, what is asked; `{}` is the mark.
REQUESTS = [
    ("generation", "generation-en", "/chat Tell me one thing about the sea. My name is {}."),
    ("translation", "translation-en-fr", "Translate into French: The train to {} leaves at nine."),
    ("translation", "translation-en-de", "Translate into German: The train to {} leaves at nine."),
    (
        "summarization",
        "summarization-en",
        "/summarize The museum of {} reopens on Saturday after two years of repairs. The first "
        "week is free, and the roof garden stays open until nine in the evening.",
    ),
    ("sentiment", "sentiment-en", "/sentiment The film {} was dull from the first minute."),
    (
        "classification",
        "classification-en",
        "/classify The team of {} won the cup after two goals in the last minutes of the match.",
    ),
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Measurements:
    """What the visitors were answered."""

    def __init__(self) -> None:
        self.first: dict[str, list[float]] = defaultdict(list)  # seconds to a stream's first text
        self.total: dict[str, list[float]] = defaultdict(list)
        self.faults: list[str] = []
        self.keys: list[str] = []


MEASURED = Measurements()


class SimulatedVisitor(HttpUser):
    """Asks, reads, thinks."""

    wait_time = between(2, 8)

    def on_start(self) -> None:
        self.client.headers["Authorization"] = f"Bearer {MEASURED.keys.pop()}"
        self.mark = f"mark{secrets.token_hex(4)}"

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        kind, adapter, template = random.choice(REQUESTS)
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": template.format(self.mark)}],
            "stream": random.random() < 0.5,
        }
        began = time.perf_counter()
        try:
            text, patchbay = self._streamed(kind, body) if body["stream"] else self._whole(body)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody was answered
            MEASURED.faults.append(f"{kind}: {type(error).__name__}: {error}"[:300])
            return
        MEASURED.total[kind].append(time.perf_counter() - began)
        by = [(step["task"], step["adapter"]) for step in patchbay["steps"]]
        if by != [(kind, adapter)]:
            MEASURED.faults.append(f"{kind}: answered by {by}")
        if strangers := set(MARK.findall(text)) - {self.mark}:
            MEASURED.faults.append(f"{kind}: the marks {strangers} in an answer to {self.mark}")

    def _whole(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        answer = self.client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        completion = answer.json()
        return completion["choices"][0]["message"]["content"], completion["patchbay"]

    def _streamed(self, kind: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        began, whole = time.perf_counter(), ""
        answer = self.client.post("/v1/chat/completions", json=body, stream=True)
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith(b"data: {"):
                continue
            chunk: dict[str, Any] = json.loads(line[6:])
            text = chunk["choices"][0]["delta"].get("content") or ""
            if text and not whole:
                MEASURED.first[kind].append(time.perf_counter() - began)
            whole += text
        return whole, chunk["patchbay"]


@app.command()
def main(
    visitors: Annotated[int, typer.Option(min=1)] = 50,
    seconds: Annotated[int, typer.Option(min=1)] = 300,
) -> None:
    """Measure."""
    keys = {f"visitor-{i}": secrets.token_urlsafe(24) for i in range(visitors)}
    watcher = secrets.token_urlsafe(24)
    with server({**keys, METRICS_VISITOR: watcher}) as (address, process):
        SimulatedVisitor.host = address
        warm_up(watcher, address)
        before = memory(process.pid)
        MEASURED.keys = list(keys.values())
        # Whoever waits at the end is still answered.
        environment = Environment(user_classes=[SimulatedVisitor], stop_timeout=600)
        runner = environment.create_local_runner()
        runner.start(visitors, spawn_rate=visitors / min(10, seconds))
        course = []
        for _ in range(MEMORY_SAMPLES):
            gevent.sleep(seconds / MEMORY_SAMPLES)
            course.append(memory(process.pid))
        runner.stop()
        after, waits = memory(process.pid), mean_wait(watcher, address)
    for fault in MEASURED.faults[:10]:
        aside(fault)
    figures = {
        "visitors": visitors,
        "seconds": seconds,
        "answers": sum(map(len, MEASURED.total.values())),
        "faults": len(MEASURED.faults),
        "first_text_p95": percentiles(MEASURED.first),
        "answer_p95": percentiles(MEASURED.total),
        "wait_in_line_mean": waits,
        "memory_mb": {"after_warm_up": before, "course": course, "end": after},
    }
    print(json.dumps(figures))
    raise typer.Exit(int(bool(MEASURED.faults)))


@contextmanager
def server(keys: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server of its own: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--profile", "starter", "--port", str(port)],
            cwd=REPOSITORY,
            env={**os.environ, "PATCHBAY_HOME": home, "PATCHBAY_API_KEYS": json.dumps(keys)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + STARTUP_TIMEOUT
            while not ready(address):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("benchmarks.load: the server did not start: python app.py")
                gevent.sleep(0.5)
            yield address, process
        finally:
            process.terminate()
            process.wait()


def ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


def warm_up(key: str, address: str) -> None:
    """Warm up: every request three times."""
    for _, _, text in REQUESTS * 3:
        messages = [{"role": "user", "content": text.format("warm")}]
        body: dict[str, Any] = {"model": "auto", "messages": messages}
        head = {"Authorization": f"Bearer {key}"}
        requests.post(f"{address}/v1/chat/completions", json=body, headers=head, timeout=300)


def mean_wait(key: str, address: str) -> float:
    """Seconds in the queue, the mean of all."""
    head = {"Authorization": f"Bearer {key}"}
    text = requests.get(f"{address}/metrics", headers=head, timeout=30).text
    wait = dict(re.findall(r"^patchbay_wait_seconds_(sum|count) (\S+)", text, re.M))
    return round(float(wait["sum"]) / float(wait["count"]), 3)


def memory(pid: int) -> float:
    """Of the process, resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024, 1)


def percentiles(seconds: dict[str, list[float]]) -> dict[str, float]:
    """The 95th of each task's seconds."""
    return {
        kind: round(statistics.quantiles(times, n=20, method="inclusive")[-1], 2)
        for kind, times in sorted(seconds.items())
        if len(times) > 1
    }


if __name__ == "__main__":
    app()
