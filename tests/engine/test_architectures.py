"""An entry says what a family needs, and what it says is what the CPU path computes with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from engine import int8, packing
from engine.architectures import ARCHITECTURES, LLAMA, Architecture
from engine.cpu_model import CPUModel
from engine.kernels.layout import DOWN, GATE_UP, GROUPS, INT8_INPUTS, OUT, QKV, SIDES, PackedLora
from engine.kv_cache import DecodeInput
from engine.lora import linear_shapes

IDS = [45, 46, 47, 48, 49]


def test_adapter_groups_are_numbered_in_the_order_of_the_adapters_arrays() -> None:
    numbered = {QKV: "qkv", OUT: "out", GATE_UP: "gate_up", DOWN: "down"}
    assert tuple(numbered[number] for number in range(4)) == GROUPS
    for number, group in numbered.items():
        arrays = tuple(f"{group}_{side}" for side in SIDES)
        assert PackedLora._fields[3 * number : 3 * number + 3] == arrays


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_entry_names_every_linear_layer_of_its_family(family: str, tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", family)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert packing.unsupported(model) is None
    names = ARCHITECTURES[family]
    listed = {
        f"{names.layers}.{layer}.{name}"
        for layer in range(model.config.num_hidden_layers)
        for group in GROUPS
        for name in names.layer.groups[group]
    }
    assert listed == set(linear_shapes(model))
    norms = {name for name, module in model.named_modules() if "norm" in name and name}
    in_layer = (
        names.layer.attention_norm,
        names.layer.post_attention_norm,
        names.layer.feed_forward_norm,
        names.layer.post_feed_forward_norm,
        names.layer.query_norm,
        names.layer.key_norm,
    )
    assert norms == {names.final_norm} | {
        f"{names.layers}.{layer}.{name}"
        for layer in range(model.config.num_hidden_layers)
        for name in in_layer
        if name
    }


def rounded(folder: Path) -> nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            int8.quantize(module.weight.data)
    return model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "entry",
    [
        Architecture(),
        replace(ARCHITECTURES[LLAMA], embedding_scale=lambda hidden: hidden**0.5),
        replace(ARCHITECTURES[LLAMA], norm_offset=0.5),
    ],
    ids=["plain", "scaled embeddings", "norms around another number"],
)
@torch.inference_mode()
def test_scales_and_norms_are_those_of_the_entry(
    entry: Architecture, tied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against transformers' Llama, whose embeddings and norms are changed by hand."""
    folder = tiny.build(tmp_path / "base", "llama", tie_word_embeddings=tied)
    reference = rounded(folder)
    for name, module in reference.named_modules():
        if name.endswith("norm"):
            module.weight += entry.norm_offset
    embedded = reference.get_input_embeddings()(torch.tensor([IDS]))
    expected = reference(inputs_embeds=embedded * entry.embedding_scale(64)).logits[0]
    monkeypatch.setitem(ARCHITECTURES, LLAMA, entry)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = CPUModel(packing.pack(plain, 64))
    cache = model.new_cache()
    prefilled = model.prefill(IDS[:-1], cache, None, keep=len(IDS) - 1)
    logits = torch.stack([*prefilled, *model.decode([DecodeInput(IDS[-1], cache, None)])])
    tolerance = 0.06 if INT8_INPUTS else 1e-3
    assert (logits - expected).norm() < tolerance * expected.norm()
