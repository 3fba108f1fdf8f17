"""A packed base in a file is the base that was packed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from engine import packed_model, packing
from engine.cpu_model import CPUModel
from engine.kernels.layout import tiled, untiled_rows
from engine.kv_cache import DecodeInput
from engine.load_base import load_base
from engine.packed_model import PackedModel
from engine.transformers_model import TransformersModel


@pytest.fixture(scope="module", params=["llama-tied", "qwen2-tied", "qwen3-untied"])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    kind, _, tied = request.param.partition("-")
    folder = tmp_path_factory.mktemp("packed") / f"tiny-{kind}"
    tiny.build(folder, kind, tie_word_embeddings=tied == "tied")
    return packing.pack(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), 64)


def test_rows_are_found_in_tiles() -> None:
    rows = torch.randint(-127, 128, (48, 64), dtype=torch.int8).numpy()
    assert (untiled_rows(tiled(rows), np.array([0, 17, 47, 1])) == rows[[0, 17, 47, 1]]).all()
    assert (untiled_rows(tiled(rows), np.arange(48)) == rows).all()


def test_what_is_read_back_computes_the_same(packed: PackedModel, tmp_path: Path) -> None:
    packed_model.save(packed, tmp_path / "base.safetensors")
    read = packed_model.load(tmp_path / "base.safetensors")
    assert read
    assert read.config == packed.config
    logits = []
    for model in (CPUModel(packed), CPUModel(read)):
        cache = model.new_cache()
        prompt = model.prefill([5, 6, 7], cache, None, keep=2)
        logits.append(torch.stack([*prompt, *model.decode([DecodeInput(9, cache, None)])]))
    assert torch.equal(*logits)
    assert logits[0].shape == (3, packed.config.vocabulary)


def test_what_the_smallest_base_compiles_is_all_that_another_needs(
    packed: PackedModel, tmp_path: Path
) -> None:
    packed_model.save(packed, tmp_path / "base.safetensors")
    read = packed_model.load(tmp_path / "base.safetensors")
    assert read
    compiled_for = numba.typeof(packing.smallest().weights)
    assert numba.typeof(packed.weights) == numba.typeof(read.weights) == compiled_for


def test_a_damaged_file_is_not_used(packed: PackedModel, tmp_path: Path) -> None:
    file = tmp_path / "base.safetensors"
    assert packed_model.load(file) is None
    packed_model.save(packed, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert packed_model.load(file) is None
    file.write_bytes(whole)
    assert packed_model.load(file)


def test_the_file_is_whole_or_not_there(packed: PackedModel, tmp_path: Path) -> None:
    gone = tmp_path / "nowhere" / "base.safetensors"
    with pytest.raises(OSError, match="No such file"):
        packed_model.save(packed, gone)
    other = replace(packed, config=replace(packed.config, end_tokens=[1]))
    file = tmp_path / "base.safetensors"
    packed_model.save(packed, file)
    packed_model.save(other, file)
    read = packed_model.load(file)
    assert read
    assert read.config.end_tokens == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, "base.sha256"]


def test_rows_that_do_not_fill_a_tile_go_through_transformers(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "tiny-llama", "llama", intermediate_size=72)
    messages: list[str] = []
    base = load_base(tiny.settings(folder, quantization="int8"), messages.append)
    assert isinstance(base.model, TransformersModel)
    assert "mlp.gate_proj is 72 by 64, not multiples of 16 and 32" in messages[-1]
