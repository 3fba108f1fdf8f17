"""The OpenAPI is complete and true: Schemathesis finds nothing on any operation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Site
from visitors import ALICE, KEYS

HERE = Path(__file__).parent
FAST = {"visitor_rate": 1_000_000}
TOOLS: dict[str, Any] = {
    "tools_refused": None
}  # a base that is offered none says so: tests/api/test_chat.py


def find_faults(
    site: Site, folder: Path, *flags: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"]
    what = ["run", f"{site.address}/openapi.json", "--checks", "all", "--seed", "1"]
    return subprocess.run(
        [*run, *what, "--request-timeout", "20", "--no-color", *flags],
        env={**os.environ, "PYTHONPATH": str(HERE), **variables},
        cwd=folder,  # it writes a report there
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.slow
def test_nothing_is_found_with_keys(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve({**FAST, "api_keys": KEYS}, **TOOLS)
    key = f"Authorization: Bearer {ALICE}"
    ended = find_faults(site, tmp_path, "--header", key, "--max-examples", "20")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "10 selected / 10 total" in ended.stdout


@pytest.mark.slow
def test_nothing_is_found_in_answers(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(FAST, **TOOLS)
    ended = find_faults(
        site,
        tmp_path,
        *("--phases", "fuzzing", "--max-examples", "40"),
        SCHEMATHESIS_HOOKS="real_models",
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert site.agent.engine.passes > 0, "answers were made"


def test_every_operation_is_described(site: Site) -> None:
    schema = httpx.get(f"{site.address}/openapi.json").json()
    assert set(schema["paths"]) == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/route",
        "/v1/classify",
    }
    for item in schema["paths"].values():
        for operation in item.values():
            assert operation["description"]
    assert "HTTPValidationError" not in schema["components"]["schemas"], "we answer otherwise"
