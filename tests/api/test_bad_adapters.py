"""Bad adapters dropped into the person's folder while the API runs: refused, and the rest go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import tiny
from bad_adapters import BREAKS
from served import Site, served

from agent.agent import Agent
from agent.planning.planner import Planner
from engine.load import load_engine
from tasks.spec import load_tasks


@pytest.fixture
def site(tiny_folder: Path, home: Path, planner: Planner) -> Iterator[Site]:
    tiny.add_adapter(tiny_folder, home / "adapters", "good", 1)
    engine = load_engine(tiny.settings(tiny_folder))
    with served(Agent(engine, load_tasks(), planner)) as made:
        yield made
    engine.close()


def models(site: Site) -> set[str]:
    found = httpx.get(f"{site.address}/v1/models").json()["data"]
    return {model["id"] for model in found if model["patchbay"]["kind"] == "adapter"}


def ask(site: Site, model: str) -> httpx.Response:
    asked = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3, "temperature": 0}
    body = {"model": model, **asked}
    return httpx.post(f"{site.address}/v1/chat/completions", json=body, timeout=60)


@pytest.mark.slow
def test_every_kind_is_refused_with_its_reason_and_the_rest_go_on(site: Site, home: Path) -> None:
    shelf = home / "adapters"
    before = ask(site, "good").json()
    for number, (break_it, reason) in enumerate(BREAKS.values()):
        folder = shelf / f"bad-{number}"
        shutil.copytree(shelf / "good", folder)
        break_it(folder)
        if folder.is_dir():  # else it was given a name that no request can carry
            refused = ask(site, folder.name)
            assert refused.status_code == 422, reason
            error = refused.json()["error"]
            assert error["code"] == "adapter_refused"
            assert reason in error["message"]
        assert models(site) == {"good"}, reason
    after = ask(site, "good").json()
    assert after["choices"] == before["choices"]
    assert not list(home.rglob("sprung")), "nothing was unpickled"
    shutil.copytree(shelf / "good", shelf / "newer")
    assert models(site) == {"good", "newer"}, "the next good one appears"
    assert ask(site, "newer").status_code == 200
