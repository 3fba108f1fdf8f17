"""The commands as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import command

from finetune import data
from finetune.model import encoder, load_tokenizer
from finetune.recipe import load_recipe
from tasks.spec import load_tasks


def test_check_run_export(
    recipe_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(home.parent)
    assert command(monkeypatch, "check", str(recipe_file)) == 0
    assert "estimate: 6 steps" in capsys.readouterr().out
    assert command(monkeypatch, "check", str(recipe_file), "--report", "said.jsonl") == 0
    said = [json.loads(line) for line in Path("said.jsonl").read_text("utf-8").splitlines()]
    lines = [" ".join(part["english"] for part in line) for line in said]
    assert lines == capsys.readouterr().out.splitlines()
    assert command(monkeypatch, "run", str(recipe_file), "name=mine") == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(home / "adapters" / "mine")
    assert "name = mine  (command line)" in printed.err
    assert command(monkeypatch, "export", "mine", "--to", "copy") == 0
    assert (home.parent / "copy" / "run.json").is_file()


@pytest.mark.slow
def test_folds_hold_out_every_row_once_and_are_recorded(
    recipe_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert command(monkeypatch, "run", str(recipe_file), "name=mine", "folds=3", "steps=2") == 0
    assert "Fold 3 of 3: validation loss" in capsys.readouterr().err
    stored = json.loads((home / "adapters" / "mine" / "run.json").read_text())
    assert len(stored["folds"]) == 3
    assert "in 3 folds before" in (home / "adapters" / "mine" / "README.md").read_text()
    assert sorted(f.name for f in (home / "adapters").iterdir()) == ["mine"]
    held = []
    for fold in range(3):
        recipe = load_recipe(str(recipe_file), ["folds=3", f"fold={fold}"]).recipe
        words = encoder(load_tokenizer(recipe), load_tasks()["sentiment"])
        (data_set,) = data.load(recipe, words.task, words)
        assert len(data_set.train) + len(data_set.validation) == 32
        held += [row.line for row in data_set.validation]
    assert sorted(held) == list(range(1, 33))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nothing"], 1, "error: There is no recipe 'nothing'."),
        (["check", "no.yaml"], 1, "error: The recipe file no.yaml does not exist."),
        (["export", "nothing"], 2, "error: There is no finished adapter named 'nothing'."),
        (["export", "x", "--format", "margd"], 2, "Did you mean merged?"),
        (["sweep", "sentiment-en"], 1, "a sweep needs ranges"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert command(monkeypatch, *words) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
