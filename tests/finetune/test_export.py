"""Exports: the merged model answers as the adapter does, and drift is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import command
from gguf import GGUFReader, TokenType, dequantize
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import benchmarks
from core.errors import AdapterError
from engine.gguf_gemma import CHAT_TEMPLATE, GGUFGemma
from finetune import export, gguf_file, gguf_lora, modelfile, older_transformers, train
from finetune.model import load_tokenizer
from finetune.recipe import load_recipe
from tasks.spec import load_tasks

ABOUT = gguf_file.About("tiny", "you/tiny", {"license": "mit"}, ["en"])
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
        "model.gguf", "README.md", "curve.png", "recipe.yaml", "export.json"
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
    file = gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)
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
        gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)


def test_a_scaled_rotary_embedding_is_refused(tmp_path: Path) -> None:
    scaled = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 8.0}
    folder = tiny.build(tmp_path / "base", "llama", rope_parameters=scaled)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(AdapterError, match=r"scaled \('linear'\).* convert_hf_to_gguf"):
        gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)


def test_a_window_keeps_its_rotary_base_in_gguf(tmp_path: Path) -> None:
    bases = {
        "full_attention": {"rope_type": "default", "rope_theta": 77.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 33.0},
    }
    shape = GGUF_SHAPES["gemma3_text"] | {"rope_parameters": bases}
    folder = tiny.build(tmp_path / "base", "gemma3_text", **shape)
    model = AutoModelForCausalLM.from_pretrained(folder)
    file = gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)
    fields = GGUFReader(file).fields
    names = ("gemma3.rope.freq_base", "gemma3.rope.freq_base_swa")
    assert [fields[name].contents() for name in names] == [77, 33]


def test_a_token_that_somebody_added_is_never_cut(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", "qwen3")
    words = AutoTokenizer.from_pretrained(folder)
    words.add_tokens(["<tool_call>"])
    words.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(words))
    fields = GGUFReader(gguf_file.write(model, words, folder, ABOUT)).fields
    tokens, kinds = (fields[f"tokenizer.ggml.{one}"].contents() for one in ("tokens", "token_type"))
    of = dict(zip(tokens, kinds, strict=True))
    assert of["<tool_call>"] == TokenType.USER_DEFINED
    assert of[words.eos_token] == TokenType.CONTROL


def test_an_unknown_architecture_is_refused_with_the_way_on(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.config.model_type = "mamba"
    with pytest.raises(AdapterError, match=r"'mamba' models .* convert_hf_to_gguf"):
        gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)


def exported(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    return command(monkeypatch, "export", *words)


def test_parents_are_made_and_modes_are_those_of_any_new_file(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    target = tmp_path / "not" / "yet" / "there"
    before = os.umask(0o022)
    try:
        assert exported(monkeypatch, "mine", "--format", "merged", "--to", str(target)) == 0
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in target.iterdir()} == {"0o644"}
    assert oct(target.stat().st_mode & 0o777) == "0o755"
    assert [path.name for path in target.parent.iterdir()] == ["there"]
    (tmp_path / "file").write_text("")
    assert exported(monkeypatch, "mine", "--to", str(tmp_path / "file" / "x")) == 1
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.skipif("TRANSFORMERS_4" not in os.environ, reason="needs a Python that has 4.57")
@pytest.mark.parametrize("architecture", ["llama", "gemma3_text"])
def test_transformers_4_answers_the_same(architecture: str, tmp_path: Path) -> None:
    """TRANSFORMERS_4=/path/to/python, of an environment of its own with transformers==4.57.*"""
    bases = (
        {"rope_type": "default", "rope_theta": 300.0},
        {"rope_type": "default", "rope_theta": 9.0},
    )
    windows = {"full_attention": bases[0], "sliding_attention": bases[1]}
    rope = windows if architecture == "gemma3_text" else bases[0]
    folder = tiny.build(tmp_path / "base", architecture, rope_parameters=rope)
    older_transformers.write(folder)
    asked = json.dumps({"prompts": ["<|im_start|>user\nZwölf 图书馆?<|im_end|>"], "length": 60})
    script = Path(benchmarks.__file__).with_name("merged_answers.py")
    ours, theirs = (
        subprocess.run(
            [python, script, folder], input=asked, capture_output=True, text=True, check=True
        ).stdout
        for python in (sys.executable, os.environ["TRANSFORMERS_4"])
    )
    assert ours == theirs


def test_transformers_4_finds_what_it_reads(adapter: Path, tmp_path: Path) -> None:
    export.export("mine", "merged", tmp_path / "merged")
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    rope = config["rope_parameters"]
    assert config["rope_theta"] == rope["rope_theta"]
    words = json.loads((tmp_path / "merged" / "tokenizer_config.json").read_text())
    assert words["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert words["model_input_names"] == ["input_ids", "attention_mask"]
    assert not isinstance(words.get("extra_special_tokens"), list)
    own = load_tokenizer(load_recipe(str(adapter / "recipe.yaml")).recipe)
    again = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert again.all_special_tokens == own.all_special_tokens
    assert again("<|im_start|>user\nZwölf").input_ids == own("<|im_start|>user\nZwölf").input_ids
    ends = json.loads((tmp_path / "merged" / "generation_config.json").read_text())["eos_token_id"]
    assert own.eos_token_id in ends


def test_a_window_has_a_rotary_base_of_its_own(tmp_path: Path) -> None:
    folder = tiny.build(
        tmp_path / "base",
        "gemma3_text",
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 77.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 33.0},
        },
    )
    older_transformers.write(folder)
    config = json.loads((folder / "config.json").read_text())
    assert (config["rope_theta"], config["rope_local_base_freq"]) == (77, 33)


@pytest.mark.parametrize(
    ("form", "library"),
    [
        ("merged", "transformers"), ("gguf", "gguf"), ("ollama", "gguf"), ("gguf-lora", "gguf"),
        ("vllm", "peft"),
    ],
)  # fmt: skip
def test_the_card_of_an_export_is_about_that_export(
    form: str, library: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exported(monkeypatch, "mine", "--format", form, "--to", str(tmp_path / "out")) == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.library_name == library
    whole = (tmp_path / "out" / "export.json").is_file()
    assert ("at 100.0% of the places" in " ".join(card.text.split())) == whole
    for link in re.findall(r"\]\(([^)]*)\)", card.text):
        assert link.startswith("https://") or (tmp_path / "out" / link).is_file()
    for file in re.findall(r"[\w-]+\.(?:gguf|jinja)", card.text.split("## Training")[0]):
        assert file == "base.gguf" or (tmp_path / "out" / file).is_file()


@pytest.mark.parametrize("weights", ["q8_0", "q4_0"])
def test_quantized_weights_are_smaller_and_nearly_the_adapter(
    weights: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.export("mine", "gguf", tmp_path / "f16")
    to = str(tmp_path / weights)
    assert exported(monkeypatch, "mine", "--format", "gguf", "--weights", weights, "--to", to) == 0
    half, small = (GGUFReader(tmp_path / name / "model.gguf") for name in ("f16", weights))
    assert small.data.nbytes < half.data.nbytes
    kinds = {tensor.name: tensor.tensor_type.name for tensor in small.tensors}
    assert kinds["blk.0.ffn_up.weight"] == weights.upper()
    assert kinds["token_embd.weight"] == "Q8_0"
    assert kinds["output_norm.weight"] == "F32"
    assert json.loads((tmp_path / weights / "export.json").read_text())["agreement"] > 0.5


def test_a_file_says_its_licence_and_its_base(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "base", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    file = gguf_file.write(model, AutoTokenizer.from_pretrained(folder), folder, ABOUT)
    fields = {name: field.contents() for name, field in GGUFReader(file).fields.items()}
    assert fields["general.license"] == "mit"
    assert fields["general.base_model.0.repo_url"] == "https://huggingface.co/you/tiny"
    assert (fields["general.type"], fields["general.languages"]) == ("model", ["en"])


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3_text"])
def test_an_adapter_as_gguf_holds_the_same_update(architecture: str, tmp_path: Path) -> None:
    """Added to the base's file as llama.cpp adds it, it makes the file of the merged model."""
    shape = GGUF_SHAPES.get(architecture, {})
    folder = tiny.build(tmp_path / "base", architecture, **shape)
    adapter = tiny.add_adapter(folder, tmp_path, "mine", seed=1, use_rslora=True)
    base = AutoModelForCausalLM.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    plain = GGUFReader(gguf_file.write(base, words, folder, ABOUT))
    before = {one.name: dequantize(one.data, one.tensor_type) for one in plain.tensors}
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload()
    (tmp_path / "merged").mkdir()
    words.save_pretrained(tmp_path / "merged")
    file = GGUFReader(gguf_file.write(merged, words, tmp_path / "merged", ABOUT))
    lora = GGUFReader(gguf_lora.write(adapter, base.config, tmp_path, ABOUT))
    alpha = lora.fields["adapter.lora.alpha"].contents()
    assert lora.fields["general.type"].contents() == "adapter"
    parts = {one.name: one.data for one in lora.tensors}
    changed = {name.removesuffix(".lora_a") for name in parts if name.endswith(".lora_a")}
    assert len(changed) == 7 * base.config.num_hidden_layers
    for one in file.tensors:
        expected = before[one.name]
        if one.name in changed:
            down, up = parts[f"{one.name}.lora_a"], parts[f"{one.name}.lora_b"]
            expected = expected + up @ down * alpha / down.shape[0]
        np.testing.assert_allclose(
            dequantize(one.data, one.tensor_type), expected, atol=2e-3, rtol=2e-3
        )


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text"])
def test_a_modelfile_asks_as_the_chat_does(architecture: str, tmp_path: Path) -> None:
    """Its Go template, by the rules of `if`, `else` and `range`, writes the chat's own prompt."""
    words = tiny.tokenizer()
    if architecture == "gemma3_text":
        words.chat_template = CHAT_TEMPLATE
    task = load_tasks()["translation"]
    text = modelfile.text(
        task, task.fills({"source": "en", "target": "fr"}), words, "MIT", "x.gguf"
    )
    (template,) = re.findall(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert 'SYSTEM """Translate English to French."""' in text
    assert f'PARAMETER stop "{words.eos_token}"' in text
    system, alone = re.fullmatch(
        r"\{\{ if \.System \}\}(.*)\{\{ else \}\}(.*)\{\{ end \}\}\{\{ range .*",
        template,
        re.DOTALL,
    ).groups()
    user, answer = re.search(
        r'"user" \}\}(.*)\{\{ else if .*"assistant" \}\}(.*)\{\{ end \}\}\{\{ end \}\}',
        template,
        re.DOTALL,
    ).groups()
    turns = [
        {"role": "system", "content": "Translate English to French."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Bonjour."},
        {"role": "user", "content": "Goodbye."},
    ]

    def written(conversation: list[dict[str, str]]) -> str:
        first = conversation[0]
        begun = system.replace("{{ .System }}", first["content"])
        begun = begun if first["role"] == "system" else alone
        parts = {"user": user, "assistant": answer, "system": ""}
        return begun + "".join(
            parts[turn["role"]].replace("{{ .Content }}", turn["content"]) for turn in conversation
        )

    for conversation in (turns, turns[:2], turns[1:], turns[1:2]):
        assert written(conversation) == words.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=False
        )


def test_a_modelfile_wants_what_its_prompt_wants(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    wrong = ["mine", "--format", "ollama", "--fill", "target=fr", "--to", str(tmp_path / "x")]
    assert exported(monkeypatch, *wrong) == 1
    assert "mine has no target" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert exported(monkeypatch, "mine", "--weights", "q4_0") == 1
    assert "--weights q4_0 is for --format gguf and ollama" in capsys.readouterr().err
    assert exported(monkeypatch, "mine", "--format", "gguf", "--weights", "q9") == 2
