"""The assembled folder is a Space: it runs by itself, and holds what it needs and no more."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest
from huggingface_hub import RepoCard

from core.errors import SettingsError
from deploy import space
from engine.starter import STARTERS


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
    assert not there & {"tests", "finetune", "evaluation", "benchmarks", "deploy"}
    assert [path.name for path in (folder / "results").iterdir()] == ["adapters"]  # for the page
    assert not list(folder.rglob("__pycache__"))


def test_the_free_machine_gets_torch_without_cuda(folder: Path, tmp_path: Path) -> None:
    assert "download.pytorch.org/whl/cpu" in (folder / "requirements.txt").read_text()
    space.assemble(tmp_path / "gpu", "t4-small")
    assert "pytorch.org" not in (tmp_path / "gpu" / "requirements.txt").read_text()


def test_the_readme_names_what_answers_and_shows_how_to_ask_it(
    folder: Path, tmp_path: Path
) -> None:
    readme = RepoCard.load(folder / "README.md")
    front = readme.data.to_dict()
    assert front["models"][0] == "google/gemma-3-270m"
    assert front["preload_from_hub"] == [" ".join(STARTERS["starter"].hub or ())]
    assert {"lora", "translation"} <= set(front["tags"])
    assert "https://you-patchbay.hf.space/v1" in readme.text
    assert "Translate into French" in readme.text
    assert 'Client("YOU/patchbay")' in readme.text
    assert "https://you-patchbay.hf.space/gradio_api/mcp/" in readme.text
    for image in re.findall(r"!\[.*?\]\((.*?)\)", readme.text):
        assert (folder / image).is_file()
    space.assemble(tmp_path / "gpu", "t4-small", login=True, name="Ann/My_Chat")
    readme = RepoCard.load(tmp_path / "gpu" / "README.md")
    assert readme.data.to_dict()["models"][0] == "Qwen/Qwen3-4B-Instruct-2507"
    assert readme.data.to_dict()["preload_from_hub"] == ["Qwen/Qwen3-4B-Instruct-2507"]
    assert "https://ann-my-chat.hf.space/v1" in readme.text
    assert "PATCHBAY_API_KEYS" in readme.text
    assert "gradio_client" not in readme.text, "it cannot log in with Hugging Face"
    assert "Gemma Terms" not in readme.text


@pytest.mark.slow
def test_pip_resolves_the_line_by_which_a_space_is_built(tmp_path: Path) -> None:
    """The line, for every kind of Space, in an empty environment. Nothing is installed."""
    lines: dict[str, list[str]] = {}  # what is the same for several kinds is tried once
    for hardware in ("cpu-basic", "t4-small", "zero-a10g"):
        made = tmp_path / hardware
        space.assemble(made, hardware)
        version = RepoCard.load(made / "README.md").data.to_dict()["sdk_version"]
        lines[(made / "requirements.txt").read_text()] = [
            "-r",
            str(made / "requirements.txt"),
            f"gradio[oauth,mcp]=={version}",
            "uvicorn>=0.14.0",
            "websockets>=10.4",
            "spaces",
        ]
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # An index that this machine cannot reach is passed over, without waiting for it five times.
    pip = [str(python), "-m", "pip", "--retries", "0", "--disable-pip-version-check"]
    for packages in lines.values():
        ran = subprocess.run(
            [*pip, "install", "--dry-run", *packages], capture_output=True, text=True, check=False
        )
        if "No matching distribution" in ran.stderr and "from versions: none" in ran.stderr:
            pytest.skip("no package index can be reached")
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "Would install" in ran.stdout


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
