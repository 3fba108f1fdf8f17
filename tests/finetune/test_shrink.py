"""What is kept at a smaller rank is nearest to what was trained, and is served as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from engine.adapters import library_of
from engine.load_base import load_base
from finetune import train
from finetune.recipe import load_recipe
from finetune.shrink import shrunk

Update = dict[str, torch.Tensor]


def test_what_is_lost_is_the_smallest_singular_values() -> None:
    torch.manual_seed(0)
    adapter = {"x.lora_A.weight": torch.randn(6, 20), "x.lora_B.weight": torch.randn(30, 6)}
    whole = adapter["x.lora_B.weight"] @ adapter["x.lora_A.weight"]
    sizes = torch.linalg.svdvals(whole)
    for rank in range(1, 7):
        small = shrunk(adapter, rank)
        a, b = small["x.lora_A.weight"], small["x.lora_B.weight"]
        assert (a.shape, b.shape) == ((rank, 20), (30, rank))
        lost = torch.linalg.norm(whole - b @ a)
        assert lost == pytest.approx(float(sizes[rank:6].norm()), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rslora", [False, True])
def test_a_kept_rank_is_what_is_written_and_served(
    recipe_file: Path, teachable_folder: Path, home: Path, rslora: bool
) -> None:
    same = [f"lora.rslora={rslora}", "lora.rank=4"]
    whole = train.run(load_recipe(str(recipe_file), [*same, "name=whole"]))
    small = train.run(load_recipe(str(recipe_file), [*same, "name=small", "lora.keep=2"]))
    config = json.loads((small / "adapter_config.json").read_text())
    assert config["r"] == 2

    merged = {folder.name: _update(teachable_folder, folder) for folder in (whole, small)}
    for layer, update in merged["whole"].items():
        near = shrunk({"x.lora_A.w": torch.eye(update.shape[1]), "x.lora_B.w": update}, 2)
        wanted = near["x.lora_B.w"] @ near["x.lora_A.w"]
        assert torch.allclose(merged["small"][layer], wanted, atol=2e-3 * float(update.abs().max()))

    served = load_base(tiny.settings(teachable_folder))
    shelf = library_of(served, [home / "adapters"])
    assert {"whole", "small"} <= set(shelf.names())
    sizes = [load_file(one / "adapter_model.safetensors") for one in (whole, small)]
    assert sum(t.numel() for t in sizes[0].values()) == 2 * sum(
        t.numel() for t in sizes[1].values()
    )


def test_a_part_of_the_update_is_written(recipe_file: Path, teachable_folder: Path) -> None:
    whole = train.run(load_recipe(str(recipe_file), ["name=whole"]))
    part = train.run(load_recipe(str(recipe_file), ["name=part", "lora.strength=0.25"]))
    updates = [_update(teachable_folder, folder) for folder in (whole, part)]
    for layer, update in updates[0].items():
        torch.testing.assert_close(updates[1][layer], 0.25 * update)


def _update(base: Path, adapter: Path) -> Update:
    """The change of every layer's weight."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(model, adapter)
    return {
        name: module.get_delta_weight("default").detach()
        for name, module in adapted.named_modules()
        if hasattr(module, "get_delta_weight")
    }
