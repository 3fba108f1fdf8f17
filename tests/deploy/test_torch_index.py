"""Which index torch is taken from, on machines of every kind."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Thread

import pytest

from core.paths import REPOSITORY
from deploy import torch_index

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no index is asked")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index that has torch."""
    (tmp_path / "index" / "torch").mkdir(parents=True)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: object, **named: object) -> None:
            super().__init__(*words, directory=str(tmp_path / "index"), **named)  # type: ignore[arg-type]

        def log_message(self, *words: object) -> None: ...

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch_index, "DRIVER", ())
    monkeypatch.setenv("PATH", str(tmp_path))


@ON_LINUX
@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_torch_comes_without_cuda(index: str) -> None:
    given, why = torch_index.option("auto", index)
    assert given == f"--extra-index-url {index}"
    assert "no NVIDIA driver" in why
    assert "TORCH_INDEX=" in why


@ON_LINUX
@pytest.mark.usefixtures("no_driver")
def test_an_index_that_is_away_is_not_asked_for(index: str) -> None:
    for address, reason in (
        (f"{index}/nowhere", "Not Found|File not found"),
        ("http://127.0.0.1:1", "refused"),
        ("http://nowhere.invalid", "."),
    ):
        given, why = torch_index.option("auto", address)
        assert not given
        assert re.search(reason, why)
        assert "2.7 GB" in why


@ON_LINUX
def test_a_machine_with_a_driver_keeps_cuda(
    no_driver: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    given, why = torch_index.option("auto", index)
    assert not given
    assert "CUDA" in why


def test_a_server_that_says_nothing_costs_little() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert "no answer in 0.5 s" in torch_index.unreachable(address, seconds=0.5)
        assert time.monotonic() - began < 5


def test_what_is_asked_for_is_taken() -> None:
    assert torch_index.option("pypi")[0] == ""
    assert torch_index.option("cpu")[0].endswith("https://download.pytorch.org/whl/cpu")
    assert torch_index.option("http://mirror/cpu")[0] == "--extra-index-url http://mirror/cpu"


def test_the_command_prints_the_option_alone() -> None:
    """By any Python, in isolation: it runs before anything is installed."""
    command = [sys.executable, "-I", "-S", REPOSITORY / "deploy" / "torch_index.py"]
    done = subprocess.run([*command, "cu130"], capture_output=True, text=True, check=True)
    assert done.stdout == "--extra-index-url https://download.pytorch.org/whl/cu130\n"
    assert "as asked" in done.stderr
    wrong = subprocess.run([*command, "cuda"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert not wrong.stdout
    assert "TORCH_INDEX=cuda is no index" in wrong.stderr
