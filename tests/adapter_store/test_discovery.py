"""Which folders are adapters, and which of two with one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_store.discovery import (
    adapter_folders,
    find_adapter,
    finished_adapters,
    is_adapter_id,
)
from adapter_store.files import RUN_RECORD
from adapter_store.peft_config import read_peft_config
from core import paths
from core.errors import UnknownName
from core.paths import shipped_adapter_dirs
from engine.starter import STARTERS


def put(parent: Path, *names: str, record: bool = True) -> None:
    for name in names:
        (parent / name).mkdir(parents=True)
        if record:
            (parent / name / RUN_RECORD).write_text("{}")


def test_the_later_parent_wins_and_what_begins_with_a_dot_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "first", "one", "two", ".three.run")
    put(tmp_path / "second", "two", ".four.run")
    (tmp_path / "second" / "notes.txt").write_text("no folder")
    parents = [tmp_path / "first", tmp_path / "second", tmp_path / "missing"]
    assert adapter_folders(parents) == {
        "one": tmp_path / "first" / "one",
        "two": tmp_path / "second" / "two",
    }


def test_the_shipped_ones_are_there_and_the_persons_own_win(home: Path) -> None:
    shipped = find_adapter("sentiment-en")
    put(home / "adapters", "mine", "sentiment-en", ".half.run")
    assert find_adapter("sentiment-en") == home / "adapters" / "sentiment-en" != shipped
    put(home / "adapters", "foreign", record=False)
    assert find_adapter("foreign").is_dir()
    assert {"mine", "sentiment-en"} <= set(finished_adapters())
    assert not {"foreign", ".half.run"} & set(finished_adapters())
    with pytest.raises(UnknownName, match=r"'\.half\.run'.*Available: base, "):
        find_adapter(".half.run")


def test_each_base_has_a_folder_of_its_own_and_no_name_is_given_twice() -> None:
    names = [folder.name for parent in shipped_adapter_dirs() for folder in parent.iterdir()]
    assert len(names) == len(set(names))
    bases = {starter.name for starter in STARTERS.values()}
    assert {paths.adapter_dirs(base)[0] for base in bases} == set(shipped_adapter_dirs())
    for base in bases:
        for folder in adapter_folders(paths.adapter_dirs(base)).values():
            read_peft_config(folder).require_base(base)


@pytest.mark.parametrize("name", ["../mine", "", ".mine", "a" * 81, "mine\n", "a/b", "a b"])
def test_a_name_is_an_id_and_never_a_path(name: str) -> None:
    assert not is_adapter_id(name)
    assert is_adapter_id("mine-2.zh_v1")
