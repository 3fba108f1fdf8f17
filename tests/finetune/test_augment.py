"""Slips of the keyboard: as many as asked for, reproducible, labels untouched."""

from __future__ import annotations

import random

import pytest

from core.errors import SettingsError
from finetune import data, model
from finetune.augment import typos
from finetune.examples import ExampleEncoder
from finetune.recipe import Recipe
from tasks.rows import Row
from tasks.spec import load_tasks

ROWS = [Row(f"The library opens at nine on day {i}.", "neutral", {}, i) for i in range(400)]


def test_a_share_of_the_rows_slips_and_labels_stay() -> None:
    slipped = typos(ROWS, 0.3, random.Random(1))
    changed = sum(a.text != b.text for a, b in zip(ROWS, slipped, strict=True))
    assert 0.2 < changed / len(ROWS) < 0.4
    assert [(r.answer, r.line) for r in slipped] == [(r.answer, r.line) for r in ROWS]
    assert slipped == typos(ROWS, 0.3, random.Random(1)) != typos(ROWS, 0.3, random.Random(2))


@pytest.mark.parametrize("text", ["a", "图书馆星期一不开门", "?!", "é", "🙂", "x y"])
def test_any_text_survives(text: str) -> None:
    for seed in range(20):
        (row,) = typos([Row(text, "neutral")], 1, random.Random(seed))
        assert row.text.strip()


def test_off_changes_nothing() -> None:
    assert typos(ROWS, 0, random.Random(0)) == ROWS


def test_every_epoch_slips_anew(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    noisy = recipe.model_copy(update={"typos": 1.0})
    data_sets = data.load(noisy, sentiment.task, sentiment)
    stream = data.stream(noisy, data_sets, sentiment)
    epoch = data.count_batches(noisy, data_sets, sentiment)
    first, second = ([tuple(e.prompt) for _ in range(epoch) for e in next(stream)] for _ in "ab")
    assert len(set(first) & set(second)) < len(first) / 4


def test_a_text_to_write_may_not_slip(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    task = load_tasks()["translation"]
    writing = model.encoder(model.load_tokenizer(recipe), task)
    with pytest.raises(SettingsError, match="'translation' writes"):
        data.load(recipe.model_copy(update={"typos": 0.1}), task, writing)
