"""Exports: the merged model answers as the adapter does, and drift is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import AdapterError
from engine.gguf_gemma import GGUFGemma
from finetune import export, gguf_file, train
from finetune.model import load_tokenizer
from finetune.recipe import load_recipe

WINDOWS = ["sliding_attention"] * 5 + ["full_attention"]
GGUF_SHAPES: dict[str, dict[str, Any]] = {  # what llama.cpp takes for granted
    "gemma3_text": {
        "num_hidden_layers": 6,
        "layer_types": WINDOWS,
        "query_pre_attn_scalar": 32,
        "head_dim": 32,
    }
}


@pytest.fixture
def adapter(recipe_file: Path) -> Path:
    return train.run(load_recipe(str(recipe_file), ["name=mine"]))


def test_a_merged_model_is_the_adapter(adapter: Path, tmp_path: Path) -> None:
    drift = export.export("mine", "merged", tmp_path / "merged")
    assert drift is not None
    assert drift.largest < 1e-3
    assert drift.agreement == 1
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert json.loads((tmp_path / "merged" / "export.json").read_text())["adapter"] == "mine"


def test_a_gguf_file_is_the_adapter(adapter: Path, tmp_path: Path) -> None:
    drift = export.export("mine", "gguf", tmp_path / "file")
    assert drift is not None
    assert drift.agreement == 1
    assert {file.name for file in (tmp_path / "file").iterdir()} == {
        "model.gguf", "README.md", "export.json"
    }  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "file", gguf_file="model.gguf")
    original = load_tokenizer(load_recipe(str(adapter / "recipe.yaml")).recipe)
    turns = [{"role": "user", "content": "Zwölf 12 图书馆?"}]
    both = [t.apply_chat_template(turns, add_generation_prompt=True) for t in (tokenizer, original)]
    assert both[0]["input_ids"] == both[1]["input_ids"]


def test_drift_is_not_called_good(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifted = export.Drift(3.0, 0.5)
    monkeypatch.setattr(export, "measured_drift", lambda before, after: drifted)
    with pytest.raises(AdapterError, match=r"50.0% of the next tokens agree"):
        export.export("mine", "merged", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_nothing_is_overwritten(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="exists already"):
        export.export("mine", "adapter", tmp_path)


def test_drift_is_measured() -> None:
    one = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    other = torch.tensor([[0.0, 1.5], [0.0, 0.5]])
    assert export.measured_drift([one], [other]) == export.Drift(1.0, 0.5)


@pytest.mark.starter
@pytest.mark.parametrize("name", ["sentiment", "sentiment-en"])
def test_a_shipped_adapter_as_gguf(name: str, tmp_path: Path) -> None:
    drift = export.export(name, "gguf", tmp_path / "file")
    assert drift is not None
    assert drift.agreement == 1
    with pytest.raises(AdapterError, match="exists already"):
        export.export(name, "gguf", tmp_path / "file")


@pytest.mark.starter
def test_the_starters_tokenizer_is_the_same_from_an_exported_file(tmp_path: Path) -> None:
    export.export("sentiment", "gguf", tmp_path / "file")
    again = GGUFGemma(tmp_path / "file" / "model.gguf").tokenizer()
    own = load_tokenizer(load_recipe("sentiment").recipe)
    for text in (
        "Zwölf 12 图书馆? <b>x</b>\n\n\tif a:  b",
        "Привет, мир 🙂 naïve façade",
        " a  b ",
    ):
        assert again(text).input_ids == own(text).input_ids


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3_text"])
def test_gguf_of_each_architecture(architecture: str, tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", architecture, **GGUF_SHAPES.get(architecture, {}))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    file = gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, "tiny")
    again = gguf_file.read(file, model.config).eval()
    ids = torch.arange(3, 40)[None]
    torch.testing.assert_close(again(ids).logits, model(ids).logits, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    "shape", [{"query_pre_attn_scalar": 16}, {"layer_types": [*WINDOWS[1:], WINDOWS[0]]}]
)
def test_a_gemma_that_llama_cpp_would_misread_is_refused(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    folder = tiny.build(tmp_path / "base", "gemma3_text", **GGUF_SHAPES["gemma3_text"] | shape)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(AdapterError, match="convert_hf_to_gguf"):
        gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, "tiny")


def test_an_unknown_architecture_is_refused_with_the_way_on(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.config.model_type = "mamba"
    with pytest.raises(AdapterError, match=r"'mamba' models .* convert_hf_to_gguf"):
        gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, "tiny")
