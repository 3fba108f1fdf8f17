"""`check`: what it finds in data, where it leaves what it refused, what it estimates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import rows, write_jsonl

from core.errors import InputError
from finetune import checks, data, model, preview
from finetune.data import DataSet
from finetune.examples import ExampleEncoder
from finetune.recipe import DataSource, Recipe
from tasks.rows import Refusal, Row
from tasks.spec import load_tasks

HERE = DataSource(path="here.jsonl")


def findings_of(data_set: DataSet, encoder: ExampleEncoder) -> str:
    return "\n".join(map(str, checks.check_rows(data_set, encoder)))


def test_repeats_contradictions_and_leaks(sentiment: ExampleEncoder) -> None:
    train = [
        Row("A good film.", "positive", line=1),
        Row("a GOOD film", "positive", line=2),
        Row("so so", "positive", line=3),
        Row("So, so!", "negative", line=4),
        Row("held out", "negative", line=5),
    ]
    findings = findings_of(DataSet(HERE, train, [Row("Held out.", "negative")]), sentiment)
    assert "1 rows repeat an earlier one (lines 2)" in findings
    assert "1 texts have several different answers (lines 3, 4)" in findings
    assert "1 training rows are in the validation data too" in findings
    assert "(lines 5)" in findings


def test_rare_and_single_labels(sentiment: ExampleEncoder) -> None:
    train = [Row(f"t{i}", "negative" if i == 0 else "positive") for i in range(40)]
    assert "rare: negative (1)" in findings_of(DataSet(HERE, train, []), sentiment)
    assert "every row has the label 'positive'" in findings_of(
        DataSet(HERE, train[1:], []), sentiment
    )


def test_text_in_another_language(recipe: Recipe) -> None:
    words = model.encoder(model.load_tokenizer(recipe), load_tasks()["translation"])
    slots = {"source": "en", "target": "fr"}
    english = "The library in the town is closed on Mondays and on holidays."
    french = "La bibliothèque de la ville est fermée le lundi et les jours fériés."
    data_set = DataSet(HERE, [Row(english, french, slots, 1), Row(english, english, slots, 2)], [])
    findings = findings_of(data_set, words)
    assert "1 rows: the answer looks like another language (lines 2)" in findings
    assert "the text looks" not in findings


def test_refused_rows_are_written_beside_the_input(tmp_path: Path) -> None:
    place = str(tmp_path / "a.jsonl")
    (file,) = checks.write_refused({place: [Refusal(3, "text", "empty", "Fill it.", "{}")]})
    assert file == tmp_path / "a.jsonl.refused.jsonl"
    assert json.loads(file.read_text())["line"] == 3
    assert checks.write_refused({place: []}) == []


def test_a_folder_that_cannot_be_written_to(home: Path) -> None:
    place = "/proc/nowhere/a.jsonl"
    (file,) = checks.write_refused({place: [Refusal(3, "text", "empty", "Fill it.")]})
    assert file == home / "refused" / "a.jsonl.refused.jsonl"


def test_the_report_says_it_all(recipe: Recipe) -> None:
    path = Path(str(recipe.data[0].path))
    path.write_text(path.read_text() + "{\n")
    report = preview.report(recipe)
    assert "32 rows to train on, 8 to validate on, 1 refused" in report
    assert "line 33: not JSON at character" in report
    assert "refused rows are in" in report
    assert "labels: positive 16, negative 16" in report
    assert "tokens of text and answer: ≤32: 32" in report
    assert "estimate: 6 steps" in report
    assert "GB of memory" in report


def test_mostly_bad_data_is_an_error(recipe: Recipe, sentiment: ExampleEncoder) -> None:
    bad = [{"text": "", "label": "positive"}] * 40
    write_jsonl(Path(str(recipe.data[0].path)), [*rows(8), *bad])
    data_sets = data.load(recipe, load_tasks()["sentiment"], sentiment)
    with pytest.raises(InputError, match="More than half of the rows"):
        checks.require_rows(data_sets)
