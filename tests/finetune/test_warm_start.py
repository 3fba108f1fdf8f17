"""A training that goes on from a finished adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from conftest import rows, write_jsonl
from safetensors.torch import load_file

from core.errors import InputError, SettingsError, UnknownName
from evaluation.contamination import refuse_training_file
from finetune import train
from finetune.recipe import ResolvedRecipe, load_recipe

pytestmark = pytest.mark.slow


def again(recipe_file: Path, *overrides: str) -> ResolvedRecipe:
    return load_recipe(str(recipe_file), overrides)


@pytest.fixture
def first(recipe_file: Path) -> Path:
    return train.run(again(recipe_file, "name=first", "epochs=4"))


def own(recipe_file: Path, *overrides: str) -> list[str]:
    file = write_jsonl(recipe_file.parent / "own.jsonl", rows(16, 100))
    return [f"data={file}", "lora={}", "start=first", *overrides]


def test_it_begins_where_the_other_ended(recipe_file: Path, first: Path) -> None:
    fresh = train.run(again(recipe_file, "name=fresh"))
    second = train.run(again(recipe_file, *own(recipe_file, "name=second")))
    losses = {
        folder: json.loads((folder / "curve.json").read_text())["train"]
        for folder in (first, fresh, second)
    }
    assert losses[second][0] < (losses[fresh][0] + losses[first][-1]) / 2
    shapes = [(folder / "adapter_config.json").read_text() for folder in (first, second)]
    assert shapes[0] == shapes[1], "rank and layers come along"


@pytest.mark.parametrize(("keep", "rank"), [(2, 2), (9, 4)])
def test_no_more_is_kept_than_it_had(recipe_file: Path, first: Path, keep: int, rank: int) -> None:
    lora = f"lora.keep={keep}"
    second = train.run(again(recipe_file, *own(recipe_file, "name=second", lora)))
    assert json.loads((second / "adapter_config.json").read_text())["r"] == rank
    for name, tensor in load_file(second / "adapter_model.safetensors").items():
        assert tensor.shape[0 if "lora_A" in name else 1] == rank


def test_the_record_says_where_it_came_from(recipe_file: Path, first: Path) -> None:
    second = train.run(again(recipe_file, *own(recipe_file, "name=second")))
    before = json.loads((first / "run.json").read_text())
    record = json.loads((second / "run.json").read_text())
    assert record["start"]["adapter"] == before["adapter"]
    card = (second / "README.md").read_text()
    assert before["adapter"] in card
    assert "CC0 1.0" in card, "the licence of what it was started from"


def test_what_the_first_has_seen_the_second_has_seen(
    recipe_file: Path, first: Path, home: Path
) -> None:
    train.run(again(recipe_file, *own(recipe_file, "name=second")))
    for seen in ("train.jsonl", "own.jsonl"):
        with pytest.raises(InputError, match="trained on"):
            refuse_training_file("second", recipe_file.parent / seen)
    refuse_training_file("second", recipe_file.parent / "validation.jsonl")


def test_the_recipe_beside_the_adapter_repeats_it(recipe_file: Path, first: Path) -> None:
    second = train.run(again(recipe_file, *own(recipe_file, "name=second")))
    where = f"data_folder={recipe_file.parent}"  # the recipe does not tell folders
    third = train.run(again(second / "recipe.yaml", "name=third", where))
    hashes = [json.loads((f / "run.json").read_text())["adapter"] for f in (second, third)]
    assert hashes[0] == hashes[1]


def test_a_training_that_is_not_done_is_passed_over(recipe_file: Path, first: Path) -> None:
    first.rename(first.with_name(".first.run"))  # where a training works until it is done
    with pytest.raises(UnknownName, match="There is no adapter to start from") as refused:
        train.run(again(recipe_file, *own(recipe_file, "name=second", "start=.first.run")))
    assert ".first.run" not in str(refused.value).split("Available:")[1]


def test_what_does_not_fit_is_refused(recipe_file: Path, first: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'frist'.*first"):
        train.run(again(recipe_file, *own(recipe_file, "name=second", "start=frist")))
    with pytest.raises(SettingsError, match="only `keep` has a say"):
        train.run(again(recipe_file, *own(recipe_file, "name=second", "lora.rank=5")))
    other = tiny.build(tmp_path / "other", "llama")
    with pytest.raises(SettingsError, match="not of"):
        train.run(again(recipe_file, *own(recipe_file, "name=second", f"base={other}")))
