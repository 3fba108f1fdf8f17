"""The data of a recipe for somebody who has nothing but Patchbay and a hub."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import command, rows, write_jsonl
from hub import TOKEN, Hub, hub

from core.errors import SettingsError
from core.paths import REPOSITORY
from finetune.fetch import PUBLIC_DATA
from finetune.recipe import Recipe, load_recipe, shipped

NAME = "someone/reviews"


def lines(count: int) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows(count)).encode()


@pytest.fixture(scope="module")
def someones() -> Iterator[tuple[Hub, str]]:
    """A hub, a data set there, and the commit of it that had 30 rows; it has had more since."""
    with hub() as state:
        made = state.make(NAME, private=False)
        pinned = made.commit({"train.jsonl": lines(30), "validation.jsonl": lines(6)})
        made.commit({"train.jsonl": lines(44), "validation.jsonl": lines(8)})
        yield state, pinned


def recipe(folder: Path, **values: object) -> Path:
    """A recipe that names the data set, and a file that nobody has."""
    source = {"path": "reviews/train.jsonl", "validation": "reviews/validation.jsonl", "hub": NAME}
    named = {**source, "validation_split": "validation", "licence": "CC0 1.0", **values}
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"task": "sentiment", "data": [named]}))
    return file


def finetune(
    hub: Hub, home: Path, *words: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command, in a process whose hub is that one and whose cache is empty at first."""
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_TOKEN": TOKEN}
    return subprocess.run(
        [sys.executable, "-m", "finetune", *map(str, words)],
        cwd=REPOSITORY,
        env={**os.environ, **own, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_rows_of_a_revision_are_fetched_and_used(
    someones: tuple[Hub, str], tmp_path: Path, tiny_folder: Path
) -> None:
    state, pinned = someones
    file = recipe(tmp_path, revision=pinned)
    done = finetune(state, tmp_path / "cache", "fetch", file)
    assert done.returncode == 0, done.stderr
    assert "CC0 1.0" in done.stdout
    assert f"{NAME} at {pinned}: 30 rows of train, 6 rows of validation" in done.stdout
    read = finetune(
        state, tmp_path / "cache", "check", file, f"base={tiny_folder}", HF_HUB_OFFLINE="1"
    )
    assert "30 rows to train on, 6 to validate on" in read.stdout, read.stderr
    newest = finetune(state, tmp_path / "other", "fetch", file, "data.0.revision=null")
    assert "44 rows of train, 8 rows of validation" in newest.stdout
    assert "no revision is named" in newest.stdout


@pytest.mark.slow
def test_a_set_without_rows_to_validate_on_is_split(
    someones: tuple[Hub, str], tmp_path: Path, tiny_folder: Path
) -> None:
    state, pinned = someones
    file = recipe(tmp_path, revision=pinned, validation_split=None)
    read = finetune(state, tmp_path / "cache", "check", file, f"base={tiny_folder}")
    assert "27 rows to train on, 3 to validate on" in read.stdout, read.stderr


@pytest.mark.slow
def test_what_the_hub_has_not_is_one_sentence(someones: tuple[Hub, str], tmp_path: Path) -> None:
    state, pinned = someones
    for wrong in ({"revision": "0" * 40}, {"hub": "someone/else"}, {"split": "nowhere"}):
        file = recipe(tmp_path, **{"revision": pinned, **wrong})
        done = finetune(state, tmp_path / "cache", "fetch", file)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert re.match(r"error: The data set 'someone/\w+' could not be loaded: ", last), last
        assert "Traceback" not in done.stderr


def test_what_only_a_person_can_get_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "fetch", "summarization", f"data_folder={tmp_path}") == 1
    said = capsys.readouterr()
    assert "scitldr (Apache-2.0): not on the hub" in said.out
    assert f"Put its rows at {tmp_path}/summarization/scitldr/train.jsonl, JSON lines" in said.out
    assert "https://github.com/allenai/scitldr/tree/5ccad9c0" in said.out
    assert "dialogues of our own (Apache-2.0): comes with Patchbay" in said.out
    assert said.out.count("Li et al") == 0
    assert "finetune run summarization-first" in said.out
    assert "must be had by hand" in said.err


def test_what_is_here_already_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "reviews").mkdir()
    there = write_jsonl(tmp_path / "reviews" / "train.jsonl", rows(8))
    assert command(monkeypatch, "fetch", str(recipe(tmp_path)), f"data_folder={tmp_path}") == 0
    assert f"is here, {there}" in capsys.readouterr().out


def test_every_public_set_of_a_shipped_recipe_can_be_found() -> None:
    known = yaml.safe_load(PUBLIC_DATA.read_text(encoding="utf-8"))
    used = set()
    for name in shipped():
        for source in load_recipe(name).recipe.data:
            assert source.licence, name
            if source.hub:
                assert re.fullmatch(r"[0-9a-f]{40}", source.revision or ""), f"{name}: {source.hub}"
            if not str(source.path).startswith("rows/"):
                used.add(str(Path(str(source.path)).parent))
                assert known[str(Path(str(source.path)).parent)]["licence"] == source.licence
    assert used == set(known)
    for values in known.values():
        for made_from in values["made_from"]:
            assert re.match(r"https://github.com/[\w./-]+/tree/[0-9a-f]{40}\b", made_from)


def test_a_revision_is_one_of_the_hub() -> None:
    with pytest.raises(SettingsError, match="revision"):
        load_recipe("summarization", ["data.0.revision=abc"])


def test_no_folder_of_this_machine_is_written(tmp_path: Path) -> None:
    source = {"path": str(tmp_path / "a" / "train.jsonl"), "validation": "b/validation.jsonl"}
    values = {"name": "mine", "task": "sentiment", "data": [source], "start": f"{tmp_path}/first"}
    settled = Recipe(**values).settled()
    assert settled["data"][0]["path"] == "train.jsonl"
    assert settled["data"][0]["validation"] == "b/validation.jsonl"
    assert settled["start"] == "first"
    within = Recipe(**values, data_folder=str(tmp_path)).settled()
    assert within["data"][0]["path"] == "a/train.jsonl"
    assert str(tmp_path) not in json.dumps(within)
