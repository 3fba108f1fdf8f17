"""The wheel, installed: one command, from any folder, and no name of ours for anybody else."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from core.paths import REPOSITORY

pytestmark = pytest.mark.slow
REVIEWS = "text,label\n" + "".join(
    f"I {verb} the {thing}.,{label}\n"
    for verb, label in (("love", "positive"), ("hate", "negative"))
    for thing in ("soup", "bread", "tea", "cake", "rice", "fish", "salad", "wine", "pie", "jam")
)


class Installed:
    """A clean environment with the wheel, which borrows the libraries of this one."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder / "env", symlinks=True)
        binaries = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.command, self.python = binaries / "patchbay", binaries / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
        ours = self.ask("import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        (Path(ours) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.elsewhere = folder / "elsewhere"
        (self.elsewhere / "core").mkdir(parents=True)  # a stranger's module of one of our names
        (self.elsewhere / "core" / "__init__.py").write_text("raise SystemExit('not ours')\n")

    def ask(self, program: str) -> str:
        done = subprocess.run(
            [str(self.python), "-I", "-c", program], capture_output=True, text=True, check=True
        )
        return done.stdout

    def environment(self) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return plain | {"PATCHBAY_HOME": str(self.elsewhere / "home"), "PYTHONUNBUFFERED": "1"}

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.command), *words],
            cwd=self.elsewhere,
            env=self.environment(),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_one_package_and_all_that_is_read_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"patchbay", "patchbay-0.1.0.dist-info"}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    folders = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    left_out = {"benchmarks", "deploy", "tests"}
    wanted = {
        name
        for name in tracked
        if name.split("/")[0] in (folders - left_out) | {"adapters"} and "curve.png" not in name
    }
    wanted |= {name for name in tracked if name.startswith("results/adapters/")}
    assert not {f"patchbay/{name}" for name in wanted} - names
    assert "patchbay/app.py" in names
    assert any(name.endswith("licenses/adapters/gemma-3-270m/GEMMA_TERMS.txt") for name in names)
    assert wheel.stat().st_size < 100e6, "a package index takes no larger file"


def test_the_names_of_our_folders_stay_free(installed: Installed) -> None:
    program = "from importlib.util import find_spec as f; print([f(n) is not None for n in {}])"
    names = ["core", "ui", "api", "tasks", "agent", "engine", "app", "finetune", "patchbay"]
    assert installed.ask(program.format(names)).strip() == str([False] * 8 + [True])


def test_a_request_is_routed_from_another_folder(installed: Installed) -> None:
    request = json.dumps({"text": "Translate into French: The train is late."})
    done = installed.run("route", "-", given=request)
    assert json.loads(done.stdout)["plan"] == [{"task": "translation", "target_lang": "fr"}], done


def test_every_command_is_there_and_says_its_name(installed: Installed) -> None:
    listed = installed.run("--help").stdout
    agent = installed.run("agent").stderr
    assert "No such command 'agent'" in agent
    for name in ("app", "ask", "route", "finetune", "evaluation"):
        assert re.search(rf"\b{name}\b", listed)
        assert f"Usage: patchbay {name}" in installed.run(name, "--help").stdout
    wrong = installed.run("evaluation", "promote", "nowhere", "nowhere")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: "), wrong.stderr


@pytest.mark.starter
def test_rows_are_read_by_a_shipped_recipe(installed: Installed) -> None:
    (installed.elsewhere / "reviews.csv").write_text(REVIEWS)
    done = installed.run("finetune", "check", "sentiment-en", "data=reviews.csv")
    assert "18 rows to train on" in done.stdout, done.stderr


def test_the_page_is_served(installed: Installed) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [str(installed.command), "app", "--engine", "fake", "--port", str(port)],
        cwd=installed.elsewhere,
        env=installed.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        assert any("Ready in" in line for line in iter(server.stdout.readline, ""))
        for path, word in (("/", "Patchbay"), ("/v1/models", "translation")):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                assert word in answer.read().decode()
    finally:
        server.terminate()
        server.wait(60)


def test_an_editable_install_shows_the_command_alone(tmp_path: Path) -> None:
    build = f"import hatchling.build as b; b.build_editable({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=REPOSITORY, check=True)
    editable = Installed(tmp_path, next(tmp_path.glob("*.whl")))
    program = "from importlib.util import find_spec as f; print(f('core'), f('patchbay').origin)"
    origin = REPOSITORY / "launcher" / "patchbay" / "__init__.py"
    assert editable.ask(program).split() == ["None", str(origin)]
    assert "Usage: patchbay app" in editable.run("app", "--help").stdout
