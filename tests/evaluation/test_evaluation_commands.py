"""The commands as a person types them, over a tiny model, and the mistakes people make."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import yaml
from judging import reviews, write_rows

from core import terminal
from core.fingerprint import sha256_file
from core.paths import REPOSITORY
from evaluation import record
from evaluation.__main__ import app

GOOD = {"text": "a fine film", "label": "positive"}


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


@pytest.fixture
def profile(tmp_path: Path, tiny_folder: Path) -> Path:
    values = {"base": str(tiny_folder), "quantization": "none", "context_tokens": 512}
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.slow
def test_run_and_compare(
    tmp_path: Path,
    home: Path,
    tiny_folder: Path,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "red", 1)
    words = ["run", "--task", "sentiment", "--data", reviews(tmp_path), "--profile", profile]
    base, red = tmp_path / "base", tmp_path / "red"
    assert command(monkeypatch, *words, "--output", base) == 0
    assert "accuracy" in capsys.readouterr().out
    assert command(monkeypatch, *words, "--adapter", "red", "--output", red, "--json") == 0
    printed = capsys.readouterr()
    run = json.loads(printed.out)
    assert run == json.loads((red / "run.json").read_text())
    assert run["schema"] == 1
    assert (run["status"], run["asked"]["rows"], run["failed"]) == ("finished", 6, 0)
    assert set(run["asked"]["fingerprints"]) >= {"base", "quantization", "adapter"}
    assert {file.name for file in red.iterdir()} == {"run.json", "rows.jsonl", "report.html"}
    assert "row" in printed.err, "progress"
    file = tmp_path / "compared.json"
    assert command(monkeypatch, "compare", base, red, "--output", file) == 0
    comparison = json.loads(file.read_text())
    assert f"{red} against {base}: {comparison['verdict']} (accuracy)" in capsys.readouterr().out
    assert comparison["rows"] == 6


@pytest.mark.slow
def test_the_baseline_is_added_when_its_training_rows_are_found(
    tmp_path: Path,
    home: Path,
    tiny_folder: Path,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "red", 1)
    learnt = reviews(tmp_path / "films", times=3)
    folder = home / "adapters" / "red"
    data = [{"train_rows": 18, "sha256": {learnt.name: sha256_file(learnt)}}]
    (folder / "run.json").write_text(json.dumps({"data": data}))
    source = {"path": f"films/{learnt.name}", "validation": "other.jsonl"}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"data": [source]}))
    output = tmp_path / "run"
    words = ["run", "--task", "sentiment", "--data", reviews(tmp_path), "--profile", profile]
    words += ["--adapter", "red", "--output", output]
    assert command(monkeypatch, *words, "--data-folder", tmp_path / "nowhere") == 0
    said = capsys.readouterr().out
    assert "No baseline. The training file films/reviews.jsonl is not here." in said
    rows = (output / record.ROWS_FILE).read_bytes()
    assert command(monkeypatch, *words, "--data-folder", tmp_path) == 0
    assert "on 18 of the adapter's training rows: accuracy " in capsys.readouterr().out
    assert (output / record.ROWS_FILE).read_bytes() == rows, "nothing is judged again"
    assert len(record.outcomes(output, record.BASELINE_FILE)) == 6


@pytest.mark.slow
def test_a_real_kill(
    tmp_path: Path, profile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    data = reviews(tmp_path, times=20)
    words = ["run", "--task", "sentiment", "--data", data, "--profile", profile]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    running = subprocess.Popen(
        [sys.executable, "-m", "evaluation", *map(str, words), "--output", str(killed)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    rows = killed / record.ROWS_FILE
    while running.poll() is None and not (rows.exists() and rows.read_bytes().count(b"\n") > 5):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert 5 < len(record.outcomes(killed)) < 120, "it was to be killed on its way"
    for folder in (killed, whole):
        assert command(monkeypatch, *words, "--output", folder) == 0
    measured = {"cost", "started", "finished"}
    runs = [record.read(folder).model_dump(exclude=measured) for folder in (killed, whole)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("rows", "options", "code", "said"),
    [
        ([], {}, 1, "holds no rows"),
        ([{"review": "a", "label": "positive"}], {}, 1, "has no column 'text'"),
        ([{"text": "a"}], {}, 1, "has no column 'label'"),
        ([GOOD, {"text": "b", "label": None}], {}, 1, "line 2, column 'label': missing"),
        ([GOOD, {"text": "b", "label": "good"}], {}, 1, "not offered: 'good' (line 2)"),
        ([GOOD], {"--labels": "a, b"}, 1, "not offered: 'positive' (line 1)"),
        ([GOOD], {"--labels": "positive"}, 1, "--labels needs at least two"),
        ([GOOD], {"--labels": "drawn"}, 1, "has one label only"),
        ([GOOD], {"--limit": "0"}, 1, "--limit must be at least 1"),
        ([GOOD], {"--reverse": None}, 1, "--reverse is for translation"),
        ([GOOD], {"--column": "text"}, 1, "--column is `file column=role`"),
        ([GOOD], {"--column": "text=txt"}, 2, "There is no role named 'txt'. Did you mean text"),
        ([GOOD], {"--task": "sentimnt"}, 2, "Did you mean sentiment"),
        ([GOOD], {"--adapter": "sentiment-em"}, 2, "Did you mean sentiment-en"),
        ([GOOD], {"--data": "no.jsonl"}, 1, "no.jsonl cannot be read"),
        ([GOOD], {"--data": "no.docx"}, 1, "the format must be one of"),
        ([GOOD], {"--train": "no.jsonl"}, 1, "no.jsonl cannot be read"),
    ],
)
def test_mistakes_end_in_one_line_before_any_compute(
    rows: list[dict[str, str]],
    options: dict[str, str | None],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    data = str(write_rows(tmp_path / "a.jsonl", rows))
    given = {"--task": "sentiment", "--data": data, "--output": str(tmp_path / "run"), **options}
    words = [word for pair in given.items() for word in pair if word is not None]
    assert command(monkeypatch, "run", *words) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "run").exists()


def test_an_adapter_of_another_base_is_refused_with_the_reason(
    tmp_path: Path, profile: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words = ["--adapter", "sentiment-en", "--profile", profile, "--output", tmp_path / "run"]
    data = reviews(tmp_path)
    assert command(monkeypatch, "run", "--task", "sentiment", "--data", data, *words) == 1
    assert "was trained on 'HuggingFaceTB/SmolLM2" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_help_names_the_commands() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "evaluation", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {"run", "compare", "routing"} <= set(shown.split())


@pytest.mark.starter
def test_the_shipped_adapter_on_the_real_starter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    rows = [
        {"text": "A warm, funny and beautifully acted film.", "label": "positive"},
        {"text": "I loved every minute of it.", "label": "positive"},
        {"text": "The best meal we had all year.", "label": "positive"},
        {"text": "Dull, far too long and badly written.", "label": "negative"},
        {"text": "A complete waste of an evening.", "label": "negative"},
        {"text": "The room was filthy and nobody cared.", "label": "negative"},
    ]
    file = write_rows(tmp_path / "own.jsonl", rows)
    words = ["run", "--task", "sentiment", "--data", file, "--profile", "starter", "--json"]
    output = tmp_path / "run"
    assert command(monkeypatch, *words, "--adapter", "sentiment", "--output", output) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["figures"]["accuracy"]["value"] >= 5 / 6
    assert run["asked"]["fingerprints"]["quantization"] == "int8"


@pytest.mark.slow
def test_gate_promote_and_rollback(
    tmp_path: Path,
    home: Path,
    tiny_folder: Path,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "mine", seed=1)
    data = reviews(tmp_path)
    for name in ("base", "mine"):
        options = ("--task", "sentiment", "--data", data, "--profile", profile)
        words = ("--adapter", name, "--output", tmp_path / name)
        assert command(monkeypatch, "run", *options, *words) == 0
    runs = (tmp_path / "mine", tmp_path / "base")
    assert command(monkeypatch, "gate", *runs) == 3  # six rows are too few to tell
    assert "not enough evidence: better: about" in capsys.readouterr().out
    assert command(monkeypatch, "promote", *runs) == 1
    assert "says not enough evidence" in capsys.readouterr().err
    assert command(monkeypatch, "promote", *runs, "--force", "a try") == 0
    assert "The chat uses mine for sentiment" in capsys.readouterr().err
    assert command(monkeypatch, "rollback", "sentiment") == 0
    assert "mine is no longer promoted. Still promoted: none." in capsys.readouterr().err
    assert command(monkeypatch, "rollback", "sentiment") == 1


@pytest.mark.slow
def test_keep_and_the_commands_it_keeps(
    tmp_path: Path,
    home: Path,
    tiny_folder: Path,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tiny.add_adapter(tiny_folder, home / "adapters", "mine", seed=1)
    data = reviews(tmp_path / "films")
    asked = ("--task", "sentiment", "--data", data, "--limit", 5, "--seed", 2)
    for name in ("base", "mine"):
        words = ("--adapter", name, "--profile", profile, "--output", tmp_path / name)
        assert command(monkeypatch, "run", *asked, *words) == 0
    file = tmp_path / "results" / "mine.json"
    assert command(monkeypatch, "keep", tmp_path / "base", tmp_path / "mine", "--to", file) == 1
    assert "name the adapter's run, then the base's" in capsys.readouterr().err
    assert command(monkeypatch, "keep", tmp_path / "mine", tmp_path / "base", "--to", file) == 0
    assert "mine.json" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    for stored in json.loads(file.read_text())["commands"]:
        words = shlex.split(stored.replace("DIR", str(tmp_path)))
        assert words[:3] == ["python", "-m", "evaluation"]
        assert command(monkeypatch, *words[3:], "--profile", profile) == 0
    for name in ("base", "mine"):
        again = record.read(tmp_path / "runs" / name)
        assert again.settings == record.read(tmp_path / name).settings
        assert again.figures == record.read(tmp_path / name).figures


def test_the_table_command_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert command(monkeypatch, "table", "--check") == 0
    assert "READMEs and cards are up to date." in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_command_misses_a_figure_changed_by_hand(tmp_path: Path) -> None:
    """In a copy of the repository: the command reads the READMEs beside its own `core`."""
    copy = tmp_path / "copy"
    shutil.copytree(REPOSITORY / "core", copy / "core")
    for name in ("adapter_store", "adapters", "agent", "engine", "evaluation", "results", "tasks"):
        (copy / name).symlink_to(REPOSITORY / name)
    for name in ("README.md", "README.zh.md"):
        shutil.copy(REPOSITORY / name, copy / name)
    table = [sys.executable, "-m", "evaluation", "table"]
    text = (copy / "README.md").read_text(encoding="utf-8")
    changed = re.sub(r"\*\*\[\d+\.\d", "**[99.9", text, count=1)
    (copy / "README.md").write_text(changed, encoding="utf-8")

    checked = subprocess.run(
        [*table, "--check"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert "README.md differ from results/adapters" in checked.stderr
    assert (copy / "README.md").read_text(encoding="utf-8") == changed != text, "it only looks"
    written = subprocess.run(table, cwd=copy, capture_output=True, text=True, check=True)
    assert "README.md: written." in written.stderr
    assert (copy / "README.md").read_text(encoding="utf-8") == text
