"""A base at another address: real servers, and one that fails as they do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny
from scripted import Scripted

from core.errors import (
    AdapterError,
    EngineAway,
    EngineBusy,
    InputError,
    SettingsError,
    TooLong,
    UnknownName,
)
from core.settings import Settings
from engine.interface import (
    ChooseRequest,
    Delta,
    Engine,
    Grammar,
    ScoringEngine,
    Usage,
    WriteRequest,
)
from engine.load import load_engine, load_scoring_engine
from engine.remote import RemoteEngine
from tasks.spec import Decoding

HELLO = ({"role": "user", "content": "Hello"},)


def remote(address: str, base: str, **changes: Any) -> RemoteEngine:
    values = {"engine": "openai", "address": address, "base": base, **changes}
    engine = load_engine(Settings(**values))
    assert isinstance(engine, RemoteEngine)
    return engine


@pytest.fixture(scope="module")
def served(tiny_folder: Path) -> Iterator[str]:
    """The address of `transformers serve` with the tiny model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["-m", "transformers.cli.transformers", "serve", str(tiny_folder), "--device", "cpu"]
    server = subprocess.Popen(
        [sys.executable, *words, "--port", str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, "transformers serve did not start"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
def test_transformers_serve_writes_what_the_local_engine_writes(
    served: str, tiny_folder: Path
) -> None:
    there = remote(served, str(tiny_folder))
    here = load_engine(tiny.settings(tiny_folder))
    request = WriteRequest(HELLO, None, Decoding(max_new_tokens=12))
    texts = []
    for engine in (there, here):
        *pieces, last = engine.write(request)
        assert isinstance(last, Usage)
        assert last.tokens == 12
        assert last.stopped == "length"
        texts.append("".join(piece.text for piece in pieces if isinstance(piece, Delta)))
        engine.close()
    assert texts[0] == texts[1]
    assert there.fingerprints()["labels"] == "named, not scored", "it names no likely tokens"


@pytest.mark.slow
def test_a_base_that_is_not_served_is_refused_at_the_start(served: str) -> None:
    with pytest.raises(SettingsError, match="not base=nothing"):
        remote(served, "nothing")


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(EngineAway, match="does not answer"):
        remote("http://127.0.0.1:9/v1", "base")
    with pytest.raises(SettingsError, match="needs address="):
        remote("", "base")


def test_a_server_is_no_scoring_engine_and_the_settings_say_so() -> None:
    only_scoring = set(dir(ScoringEngine)) | set(ScoringEngine.__annotations__)
    only_scoring -= set(dir(Engine)) | set(Engine.__annotations__)
    assert {"score", "tokens", "start_token"} <= only_scoring
    assert not only_scoring & set(dir(RemoteEngine))
    server = Settings(engine="openai", address="http://127.0.0.1:9/v1", base="base")
    with pytest.raises(SettingsError, match="scores no token ids: judge with the local engine"):
        load_scoring_engine(server)


@pytest.fixture
def scripted() -> Iterator[tuple[str, type[Scripted]]]:
    kind = type("Kind", (Scripted,), {"script": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", kind
    server.shutdown()


def test_labels_are_scored_where_likely_tokens_are_named(
    scripted: tuple[str, type[Scripted]],
) -> None:
    engine = remote(scripted[0], "base")
    assert engine.fingerprints()["labels"] == "scored"
    scores = engine.choose(ChooseRequest(HELLO, ("positive", "negative", "neutral"))).logprobs
    assert scores["positive"] == pytest.approx(-0.3)
    assert scores["negative"] == -2.0
    assert scores["neutral"] < -2.0


def test_a_connection_is_tried_again_before_the_first_token_and_not_after(
    scripted: tuple[str, type[Scripted]],
) -> None:
    address, server = scripted
    engine = remote(address, "base")
    server.asked.clear()
    server.script[:] = ["hang up"]
    *pieces, _ = engine.write(WriteRequest(HELLO))
    assert "".join(piece.text for piece in pieces if isinstance(piece, Delta)) == "0 1 2 3 4 "
    assert len(server.asked) == 2
    server.asked.clear()
    server.script[:] = ["hang up later"]
    written = []
    with pytest.raises(EngineAway):
        written += engine.write(WriteRequest(HELLO))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, SettingsError), (429, EngineBusy), (400, TooLong), (404, InputError), (503, EngineAway)],
)
def test_what_a_server_refuses_is_a_sentence(
    scripted: tuple[str, type[Scripted]], status: int, error: type[Exception]
) -> None:
    address, server = scripted
    engine = remote(address, "base")
    server.script[:] = [status] * 3
    with pytest.raises(error, match="a context of 10 tokens"):
        list(engine.write(WriteRequest(HELLO)))


def test_what_is_asked_for_reaches_the_server(scripted: tuple[str, type[Scripted]]) -> None:
    address, server = scripted
    engine = remote(address, "base")
    drawn = Decoding(top_k=5, frequency_penalty=0.5)
    schema = Grammar("json_schema", '{"type": "object"}')
    list(engine.write(WriteRequest(HELLO, decoding=drawn, grammar=schema)))
    body = server.asked[-1][1]
    assert (body["top_k"], body["frequency_penalty"]) == (5, 0.5)
    assert not {"min_p", "presence_penalty", "repetition_penalty"} & set(body)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    with pytest.raises(InputError, match="JSON schema, and no regex"):
        list(engine.write(WriteRequest(HELLO, grammar=Grammar("regex", "a"))))
    engine.close()


def test_stop_ends_the_answer(scripted: tuple[str, type[Scripted]]) -> None:
    engine, stop = remote(scripted[0], "base"), threading.Event()
    stream = engine.write(WriteRequest(HELLO), stop)
    assert next(stream) == Delta("0 ")
    stop.set()
    last = list(stream)[-1]
    assert isinstance(last, Usage)
    assert last.stopped == "stop"


def test_a_string_that_ends_the_text_ends_it_here(scripted: tuple[str, type[Scripted]]) -> None:
    engine = remote(scripted[0], "base")
    *pieces, last = engine.write(WriteRequest(HELLO, until=("2",)))
    assert "".join(piece.text for piece in pieces if isinstance(piece, Delta)) == "0 1 "
    assert isinstance(last, Usage)
    assert last.stopped == "until"


def test_an_adapter_that_is_missing_there_is_loaded_or_refused(
    scripted: tuple[str, type[Scripted]], home: Path, tiny_folder: Path
) -> None:
    for name in ("mine", "other"):
        folder = tiny.add_adapter(tiny_folder, home / "adapters", name, 1)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = "base"
        (folder / "adapter_config.json").write_text(json.dumps(config))
    address, server = scripted
    engine = remote(address, "base")
    assert {"mine", "other"} <= set(engine.adapters.names())
    server.asked.clear()
    for _ in range(2):
        list(engine.write(WriteRequest(HELLO, "mine")))
    load, first, second = server.asked
    assert load == (
        "/v1/load_lora_adapter",
        {"lora_name": "mine", "lora_path": str(home / "adapters" / "mine")},
    )
    assert first[1]["model"] == second[1]["model"] == "mine"
    server.script[:] = [404]
    with pytest.raises(AdapterError, match="--lora-modules other="):
        list(engine.write(WriteRequest(HELLO, "other")))
    with pytest.raises(UnknownName):
        list(engine.write(WriteRequest(HELLO, "nobody's")))
