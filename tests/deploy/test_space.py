"""The assembled folder is a Space: it runs by itself, and holds what it needs and no more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import RepoCard

from core.errors import SettingsError
from deploy import space


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assembled = tmp_path_factory.mktemp("space") / "folder"
    space.assemble(assembled)
    return assembled


def test_the_front_matter_names_what_is_there(folder: Path) -> None:
    settings = RepoCard.load(folder / "README.md").data.to_dict()
    assert "Gemma Terms of Use" in RepoCard.load(folder / "README.md").text
    assert "ai.google.dev/gemma/terms" in (folder / "NOTICE").read_text()
    assert (folder / "adapters" / "gemma-3-270m" / "GEMMA_TERMS.txt").is_file()
    assert settings["sdk"] == "gradio"
    assert f"gradio=={settings['sdk_version']}" in (folder / "requirements.txt").read_text()
    assert (folder / settings["app_file"]).is_file()


def test_zero_gpu_gets_a_python_that_it_has(tmp_path: Path) -> None:
    space.assemble(tmp_path / "zero", "zero-a10g")
    settings = RepoCard.load(tmp_path / "zero" / "README.md").data.to_dict()
    assert (settings["python_version"], settings["suggested_hardware"]) == ("3.12", "zero-a10g")
    assert "pytorch.org" not in (tmp_path / "zero" / "requirements.txt").read_text()
    assert (tmp_path / "zero" / "core" / "profiles" / "zero.yaml").is_file()


def test_a_login_is_asked_of_the_space(folder: Path, tmp_path: Path) -> None:
    space.assemble(tmp_path / "login", login=True)
    assert RepoCard.load(tmp_path / "login" / "README.md").data.to_dict()["hf_oauth"] is True
    assert "hf_oauth" not in RepoCard.load(folder / "README.md").data.to_dict()


def test_only_what_the_chat_needs_is_in_it(folder: Path) -> None:
    there = {path.name for path in folder.iterdir()}
    assert {"agent", "core", "engine", "tasks", "ui", "adapters", "app.py"} <= there
    assert not there & {"tests", "finetune", "evaluation", "benchmarks", "deploy", "results"}
    assert not list(folder.rglob("__pycache__"))


def test_the_free_machine_gets_torch_without_cuda(folder: Path, tmp_path: Path) -> None:
    assert "download.pytorch.org/whl/cpu" in (folder / "requirements.txt").read_text()
    space.assemble(tmp_path / "gpu", "t4-small")
    assert "pytorch.org" not in (tmp_path / "gpu" / "requirements.txt").read_text()


@pytest.mark.slow
def test_the_folder_runs_by_itself(folder: Path, tmp_path: Path) -> None:
    """As a Space starts it: in the folder, with nothing of the repository on the path."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    own = {"SPACE_ID": "you/patchbay", "PATCHBAY_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, "app.py", "--engine", "fake", "--port", str(port)],
        cwd=folder,
        env=plain | own,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        assert any("Ready in" in line for line in iter(server.stdout.readline, ""))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert "Patchbay" in answer.read().decode()
    finally:
        server.terminate()
        server.wait(30)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="holds something else"):
        space.assemble(tmp_path)
    assert (tmp_path / "thesis.txt").is_file()


def test_a_missing_package_is_noticed(folder: Path, tmp_path: Path) -> None:
    space.assemble(tmp_path / "copy")
    (tmp_path / "copy" / "agent" / "more.py").write_text("from finetune import train\n")
    with pytest.raises(SettingsError, match=r"more\.py imports \['finetune'\]"):
        space.check(tmp_path / "copy")
