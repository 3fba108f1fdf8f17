"""A tiny base, a tiny sentiment file, and a recipe over both."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from core import terminal
from finetune.__main__ import app
from finetune.examples import ExampleEncoder
from finetune.model import encoder, load_tokenizer
from finetune.recipe import Recipe, ResolvedRecipe, load_recipe
from tasks.spec import load_tasks

WORDS = {"positive": ["good", "fine", "great"], "negative": ["bad", "poor", "awful"]}


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    labels = list(WORDS)
    return [
        {"text": f"{WORDS[labels[i % 2]][i % 3]} film {i}", "label": labels[i % 2]}
        for i in range(start, start + count)
    ]


def write_jsonl(file: Path, records: list[dict[str, Any]]) -> Path:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    file.write_text("".join(lines), encoding="utf-8")
    return file


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finetune", *words])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


@pytest.fixture(scope="session")
def teachable_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with larger embeddings: as made, no adapter could move its answers far."""
    folder = tmp_path_factory.mktemp("bases") / "teachable"
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    model.get_input_embeddings().weight.data *= 30
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path, teachable_folder: Path) -> Path:
    values = {
        "task": "sentiment",
        "base": str(teachable_folder),
        "data": [
            {
                "path": str(write_jsonl(tmp_path / "train.jsonl", rows(32))),
                "validation": str(write_jsonl(tmp_path / "validation.jsonl", rows(8, 32))),
                "licence": "CC0 1.0",
            }
        ],
        "lora": {"rank": 4},
        "batch": 4,
        "steps": 6,
        "evaluations": 2,
        "threads": 1,
        "learning_rate": 0.01,
    }
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture
def resolved(recipe_file: Path) -> ResolvedRecipe:
    return load_recipe(str(recipe_file))


@pytest.fixture
def recipe(resolved: ResolvedRecipe) -> Recipe:
    return resolved.recipe


@pytest.fixture
def sentiment(recipe: Recipe) -> ExampleEncoder:
    return encoder(load_tokenizer(recipe), load_tasks()["sentiment"])
