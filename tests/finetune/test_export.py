"""Exports: the merged model answers as the adapter does, and drift is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.errors import AdapterError
from finetune import export, train
from finetune.recipe import load_recipe


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


def test_drift_is_not_called_good(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifted = export.Drift(3.0, 0.5)
    monkeypatch.setattr(export, "compared", lambda before, after: drifted)
    with pytest.raises(AdapterError, match=r"50.0% of the next tokens agree"):
        export.export("mine", "merged", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_nothing_is_overwritten(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="exists already"):
        export.export("mine", "adapter", tmp_path)


def test_drift_is_measured() -> None:
    one = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    other = torch.tensor([[0.0, 1.5], [0.0, 0.5]])
    assert export.compared([one], [other]) == export.Drift(1.0, 0.5)
