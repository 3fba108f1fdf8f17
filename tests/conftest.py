"""Fixtures for all tests: the person's folders are temporary, the cache is the real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from agent.build import build_planner
from agent.planning.planner import Planner
from core.settings import Settings, load_settings
from engine.base_model import Base
from engine.engine import TorchEngine
from engine.load import load_engine
from engine.load_base import load_base

# In this process a user's own settings and variables must not change what is tested.
for variable in [name for name in os.environ if name.startswith("PATCHBAY_")]:
    if variable != "PATCHBAY_CACHE":
        del os.environ[variable]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's own folder, empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PATCHBAY_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Llama."""
    return tiny.build(tmp_path_factory.mktemp("bases") / "tiny-llama", "llama")


@pytest.fixture(scope="session", params=["llama", "qwen3"])
def any_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random model of each architecture."""
    name: str = request.param
    return tiny.build(tmp_path_factory.mktemp("bases") / f"tiny-{name}", name)


@pytest.fixture(scope="session")
def tiny_base(any_folder: Path) -> Base:
    """A tiny base without quantization."""
    return load_base(tiny.settings(any_folder))


@pytest.fixture(scope="session")
def starter_settings() -> Settings:
    """The starter profile as shipped."""
    return load_settings(profile="starter")


@pytest.fixture(scope="session")
def starter_engine(starter_settings: Settings) -> Iterator[TorchEngine]:
    """The real starter model, loaded once for the session."""
    engine = load_engine(starter_settings)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def planner(starter_settings: Settings) -> Planner:
    """The shipped tasks, router and encoder."""
    return build_planner(starter_settings)
