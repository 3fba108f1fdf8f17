"""ZeroGPU: a worker that is forked for a request answers as the engine of one process does."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny
import uvicorn
from fastapi import FastAPI, Response
from served import free_port

from core.errors import EngineBusy, InputError, TooLong, UnknownName
from core.paths import REPOSITORY, user_dir
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, ScoreRequest, Usage, WriteRequest
from engine.load import load_engine
from engine.load_base import load_base
from engine.zerogpu import MAX_LEASE, STARTUP, ZeroEngine, _duration, _seconds
from tasks.spec import Decoding

MESSAGES = ({"role": "user", "content": "Hello 你好"},)


@contextmanager
def zero_gpu(quota: Path) -> Iterator[tuple[str, list[str]]]:
    """ZeroGPU's device API, lending until the quota file is there. Its address, and its calls."""
    app, calls = FastAPI(), []

    @app.post("/startup-report")
    def startup() -> Response:
        calls.append("startup")
        return Response()

    @app.post("/schedule")
    def schedule(durationSeconds: int) -> Any:
        calls.append(f"schedule {durationSeconds}")
        if quota.exists():
            return Response('{"left": 3, "wait": 3600}', 429, media_type="application/json")
        # The GPU is where it was: a worker that has it answers the next request too.
        return {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "t"}

    @app.post("/allow")
    def allow() -> Response:
        calls.append("allow")
        return Response()

    @app.post("/release")
    def release(fail: bool) -> Response:
        calls.append(f"release {'failed' if fail else 'done'}")
        return Response()

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}", calls
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def own(any_folder: Path) -> str:
    """An adapter in the person's folder."""
    return tiny.add_adapter(any_folder, user_dir() / "adapters", "own", 1).name


@pytest.mark.slow
def test_forked_workers_answer_as_one_process_does(
    any_folder: Path, own: str, tmp_path: Path
) -> None:
    with zero_gpu(tmp_path / "quota") as (address, calls):
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("zerogpu_process.py")), str(any_folder)],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "SPACES_ZERO_GPU": "true",
                "SPACES_ZERO_DEVICE_API_URL": address,
                "ZEROGPU_OFFLOAD_DIR": str(tmp_path / "aside"),
                "QUOTA": str(tmp_path / "quota"),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    results = json.loads(ran.stdout.splitlines()[-1])

    base = load_base(tiny.settings(any_folder))
    engine = TorchEngine(base, library_of(base))
    request = WriteRequest(MESSAGES, own, Decoding(max_new_tokens=12), logprobs=1)
    items = list(engine.write(request))
    assert results["write"] == "".join(item.text for item in items if isinstance(item, Delta))
    assert results["usage"]["tokens"] == items[-1].tokens
    choice = engine.choose(ChooseRequest(MESSAGES, ("yes", "no"), own)).logprobs
    assert results["choose"] == pytest.approx(choice, abs=1e-4)
    scores = engine.score(ScoreRequest((1, 2), ((3, 4), (5,))))
    for forked, here in zip(results["score"], scores.continuations, strict=True):
        assert forked == pytest.approx(here.logprobs, abs=1e-4)
    engine.close()

    assert results["stopped"][0] < 20
    assert results["stopped"][1] == "stop"
    kind, message = results["quota"]
    assert kind == "EngineBusy"
    assert "quota" in message or "limit" in message
    assert results["waiting"] == 0
    assert calls[0] == "startup"
    assert calls.count("allow") == 1  # one worker, in a process of its own
    assert calls.count("release done") == 4
    assert not any("failed" in line for line in calls)


@pytest.fixture
def zero(any_folder: Path, own: str) -> Iterator[ZeroEngine]:
    engine = load_engine(tiny.settings(any_folder, engine="zero", max_running=1, max_waiting=0))
    assert isinstance(engine, ZeroEngine)
    yield engine
    engine.close()


def test_elsewhere_it_answers_in_this_process(zero: ZeroEngine, own: str) -> None:
    items = list(zero.write(WriteRequest(MESSAGES, own, Decoding(max_new_tokens=5))))
    assert isinstance(items[-1], Usage)
    assert items[-1].tokens == 5
    assert zero.passes == len(items)


def test_what_cannot_be_answered_asks_for_no_gpu(zero: ZeroEngine) -> None:
    with pytest.raises(UnknownName, match="none-such"):
        next(zero.write(WriteRequest(MESSAGES, "none-such")))
    with pytest.raises(TooLong):
        next(zero.write(WriteRequest(({"role": "user", "content": "x" * 2000},))))
    with pytest.raises(InputError):
        zero.choose(ChooseRequest(MESSAGES, ()))
    assert zero.passes == 0
    assert zero.waiting == 0


def test_no_more_requests_wait_than_may(zero: ZeroEngine) -> None:
    first = zero.write(WriteRequest(MESSAGES))
    next(first)
    with pytest.raises(EngineBusy):
        next(zero.write(WriteRequest(MESSAGES)))
    first.close()
    assert next(zero.write(WriteRequest(MESSAGES)))


def test_longer_requests_ask_for_more_time_up_to_what_is_lent() -> None:
    sizes = (10, 10), (10, 500)
    durations = [_duration(WriteRequest(MESSAGES), _seconds(*size)) for size in sizes]
    assert STARTUP < durations[0] < durations[1] < MAX_LEASE
    assert _duration(WriteRequest(MESSAGES), _seconds(16_000, 4096)) == MAX_LEASE


def test_requests_and_answers_cross_as_pickles(zero: ZeroEngine) -> None:
    request = WriteRequest(MESSAGES, None, Decoding(max_new_tokens=3), logprobs=2)
    for thing in (request, *zero.write(request)):
        assert pickle.loads(pickle.dumps(thing)) == thing
