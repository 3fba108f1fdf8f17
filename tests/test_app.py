"""The start: one clear line for what a person can get wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def start(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *flags],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--profile", "startr"], "Did you mean starter"),
        (["--profile", "missing.yaml"], "does not exist"),
        (["--profile", "starter", "--port", "99999"], "port"),
        (["--profile", "starter", "--host", "203.0.113.7"], "Cannot listen on 203.0.113.7"),
    ],
)
def test_a_mistake_is_one_line(flags: list[str], said: str) -> None:
    ended = start(*flags)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "variables",
    [{"PATCHBAY_HF_LOGIN": "true"}, {"SPACE_ID": "you/patchbay", "OAUTH_CLIENT_ID": "client"}],
)
def test_a_login_that_would_let_everyone_in_is_refused(variables: dict[str, str]) -> None:
    ended = start("--profile", "starter", "--host", "0.0.0.0", **variables)
    assert ended.returncode == 1
    assert "hf_login" in ended.stderr
    assert "api_keys" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_found_before_anything_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = start("--profile", "starter", "--port", str(port))
    assert ended.returncode == 1
    assert f"--port {port + 1}" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
