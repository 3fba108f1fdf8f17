"""Training reads exactly what serving reads; label lists are drawn anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tiny

from core.errors import InputError
from engine.base_model import Base
from finetune import data, model
from finetune.examples import ExampleEncoder, label_list_batches, own_label_list
from finetune.recipe import Recipe
from tasks.rows import Row, exchanged
from tasks.spec import load_tasks

TASKS = load_tasks()


def test_an_example_is_what_the_engine_scores(
    sentiment: ExampleEncoder, tiny_base: Base, tmp_path: Path
) -> None:
    engine = tiny.engine(tiny_base, tmp_path)
    labels = ["positive", "negative", "neutral"]
    example = sentiment.example(Row("a fine film", "positive"), labels)
    messages = TASKS["sentiment"].messages("a fine film", {"labels": ", ".join(labels)})
    assert example.prompt == tiny_base.template.prompt_ids(messages)
    assert example.answer == engine._label("positive")
    engine.close()


def test_a_row_with_an_unknown_language_is_named_by_its_line(tiny_base: Base) -> None:
    translation = model.encoder(tiny_base.template.tokenizer, TASKS["translation"])
    with pytest.raises(InputError, match="line 7: 'xx' is no ISO 639-1"):
        translation.example(Row("a", "b", {"source": "xx", "target": "fr"}, 7))


def test_exchanged_turns_the_languages_around() -> None:
    pair = Row("hi", "salut", {"source": "en", "target": "fr"}, 3)
    row = exchanged(pair, TASKS["translation"])
    assert row == Row("salut", "hi", {"source": "fr", "target": "en"}, 3)


def test_menus_use_each_row_once_and_always_offer_its_label() -> None:
    names = ["BookFlight", "play_music", "weather", "time", "small talk"]
    rows = [Row(f"t{i}", names[i % 5], line=i) for i in range(103)]
    batches = label_list_batches(rows, 8, (2, 4), random.Random(0))
    seen = [row.line for batch, _ in batches for row in batch]
    assert sorted(seen) == list(range(103))
    for batch, labels in batches:
        assert len(batch) <= 8
        assert 2 <= len(labels) <= 4
        assert {row.answer for row in batch} <= set(labels)
    lists = {tuple(labels) for _, labels in batches}
    assert len(lists) > len(batches) / 2
    styles = {label for labels in lists for label in labels if label.lower().startswith("book")}
    assert {"BookFlight", "book flight"} <= styles <= {"BookFlight", "book flight", "Book Flight"}
    assert batches == label_list_batches(rows, 8, (2, 4), random.Random(0))


def test_a_row_s_own_list_is_shown_in_part_with_its_label() -> None:
    labels = tuple(f"label {i}" for i in range(12))
    row, rng = Row("t", "label 3", labels=labels), random.Random(0)
    drawn = [own_label_list(row, (2, 8), rng) for _ in range(60)]
    for shown, listed in drawn:
        assert shown.answer in listed
        assert 2 <= len(listed) <= 8
        assert len(set(listed)) == len(listed)
    assert len({len(listed) for _, listed in drawn}) > 3
    chinese = Row("t", "体育", labels=("体育", "财经"))
    assert {own_label_list(chinese, (2, 8), rng)[0].answer for _ in range(20)} == {"体育"}


def test_earlier_turns_stand_in_the_prompt(tiny_base: Base) -> None:
    chat = model.encoder(tiny_base.template.tokenizer, TASKS["generation"])
    history = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
    )
    messages = [*history, {"role": "user", "content": "Why?"}]
    example = chat.example(Row("Why?", "Because.", history=history))
    assert example.prompt == tiny_base.template.prompt_ids(messages)


def test_batches_hold_no_more_tokens_than_asked(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    small = recipe.model_copy(update={"batch": 16, "batch_tokens": 200})
    sets = data.load(small, TASKS["sentiment"], sentiment)
    sizes = [len(batch) for batch in data.validation(small, sets, sentiment)]
    whole = recipe.model_copy(update={"batch": 16})
    assert max(sizes) < max(len(batch) for batch in data.validation(whole, sets, sentiment))


def test_all_rows_may_be_learnt_both_ways(tmp_path: Path, recipe: Recipe, tiny_base: Base) -> None:
    file = tmp_path / "pairs.jsonl"
    line = '{"source": "hi %d", "target": "salut %d", "source_lang": "en", "target_lang": "fr"}\n'
    file.write_text("".join(line % (i, i) for i in range(20)))
    source = recipe.data[0].model_copy(
        update={"path": str(file), "validation": None, "both_ways": 1.0}
    )
    pairs = recipe.model_copy(update={"data": [source], "task": "translation"})
    encoder = model.encoder(tiny_base.template.tokenizer, TASKS["translation"])
    (data_set,) = data.load(pairs, TASKS["translation"], encoder)
    assert (len(data_set.train), len(data_set.validation)) == (36, 4)
    assert {row.slots["target"] for row in data_set.train} == {"fr", "en"}


def test_unknown_labels_and_long_rows_are_refused(
    recipe: Recipe, sentiment: ExampleEncoder
) -> None:
    path = Path(str(recipe.data[0].path))
    extra = '{"text": "meh", "label": "mixed"}\n{"text": "%s", "label": "positive"}\n'
    path.write_text(path.read_text() + extra % ("long " * 200))
    (data_set,) = data.load(recipe, TASKS["sentiment"], sentiment)
    refusals = [str(refusal) for refusal in data_set.refused[str(path)]]
    assert "line 33, column 'answer': 'mixed' is no label of sentiment" in refusals[0]
    assert "line 34, column 'text': 1,007 tokens, more than max_tokens=512" in refusals[1]


def test_without_validation_data_a_share_is_split_off(
    recipe: Recipe, sentiment: ExampleEncoder
) -> None:
    source = recipe.data[0].model_copy(update={"validation": None})
    split = recipe.model_copy(update={"data": [source], "validation_share": 0.25})
    (data_set,) = data.load(split, TASKS["sentiment"], sentiment)
    assert (len(data_set.train), len(data_set.validation)) == (24, 8)
    assert not {r.line for r in data_set.train} & {r.line for r in data_set.validation}


def test_class_weights(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    path = Path(str(recipe.data[0].path))
    path.write_text(
        '{"text": "a", "label": "positive"}\n' * 3 + '{"text": "b", "label": "negative"}\n'
    )
    balanced = recipe.model_copy(update={"class_weights": "balanced"})
    data_sets = data.load(balanced, TASKS["sentiment"], sentiment)
    (batch,) = data.batches(
        balanced, data_sets, sentiment, [data_set.train for data_set in data_sets], random.Random(0)
    )
    assert sorted(example.weight for example in batch) == pytest.approx([2 / 3] * 3 + [2])
