"""Recipes: what is refused and how it is said, overrides, where values came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from finetune.recipe import load_recipe, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).recipe.name == name


def test_each_value_says_where_it_came_from(recipe_file: Path) -> None:
    resolved = load_recipe(str(recipe_file), ["lora.rank=2", "data=other.csv"])
    assert resolved.recipe.lora.rank == 2
    assert resolved.recipe.data[0].path == "other.csv"
    explained = resolved.explain()
    assert "lora.rank = 2  (command line)" in explained
    assert "batch = 4  (tiny.yaml)" in explained
    assert "lora.alpha = 16.0  (default)" in explained


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learning_rat=0.1", "Did you mean learning_rate?"),
        ("lora.rnak=3", "Did you mean rank?"),
        ("data.0.pth=x", "Did you mean path?"),
        ("lora.rank=0", "lora.rank=0: Input should be greater than or equal to 1"),
        ("lora.keep=4", "keep=4 must be less than rank=4"),
        ("batch=many", "batch='many'"),
        ("batch", "is not key=value"),
        ("data.7.path=x", "the recipe has no"),
        ("name=../evil", "String should match pattern"),
        ("lora.rank=[1", "is not YAML"),
    ],
)
def test_mistakes_are_named(recipe_file: Path, override: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_recipe(str(recipe_file), [override])
    assert said in str(error.value)


def test_an_unknown_recipe_lists_near_names() -> None:
    with pytest.raises(SettingsError, match="Did you mean sentiment-en"):
        load_recipe("sentimant-en")


def test_a_source_needs_a_place(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("task: sentiment\ndata: [{name: x}]\n")
    with pytest.raises(SettingsError, match="needs `path`"):
        load_recipe(str(file))
