"""QLoRA: a 4-bit base learns on the CPU as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune import export, train
from finetune.recipe import load_recipe

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_a_four_bit_base_learns(recipe_file: Path, checkpointing: str) -> None:
    words = ["name=small", "quantization=nf4", f"gradient_checkpointing={checkpointing}"]
    folder = train.run(load_recipe(str(recipe_file), [*words, "steps=12"]))
    losses = json.loads((folder / "curve.json").read_text())["train"]
    assert losses[-1] < losses[0]


def test_evaluations_leave_a_four_bit_base_as_it_was(recipe_file: Path) -> None:
    losses = []
    for count in (1, 6):
        words = [f"name=after-{count}", "quantization=nf4", f"evaluations={count}"]
        folder = train.run(load_recipe(str(recipe_file), words))
        losses.append(json.loads((folder / "curve.json").read_text())["train"])
    assert losses[0] == losses[1]


def test_merging_dequantizes_the_base_it_was_trained_on(recipe_file: Path, tmp_path: Path) -> None:
    train.run(load_recipe(str(recipe_file), ["name=small", "quantization=nf4"]))
    drift = export.export("small", "merged", tmp_path / "merged")
    assert drift is not None
    assert drift.agreement >= export.LEAST_AGREEMENT["f16"]
