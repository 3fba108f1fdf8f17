"""`check`: what it finds in data, where it leaves what it refused, what it estimates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import rows, write_jsonl

from core.errors import InputError
from core.statement import statement
from finetune import checks, model, preview
from finetune.data import DataSet
from finetune.examples import ExampleEncoder
from finetune.recipe import DataSource, Recipe
from finetune.usable_rows import usable
from tasks.records import Refusal
from tasks.rows import Row, Table
from tasks.spec import load_tasks

EMPTY = (statement("row.empty", "empty"), statement("row.empty.fix", "Fill it."))
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


def test_letters_of_a_wrong_encoding(sentiment: ExampleEncoder) -> None:
    texts = ["cafÃ© au lait", "itâ€™s fine", "São Paulo", "naïve Ärzte, 5 €", "Ã"]
    train = [Row(text, "positive", line=i) for i, text in enumerate(texts, 1)]
    findings = findings_of(DataSet(HERE, train, []), sentiment)
    assert "2 rows hold letters that were once read in a wrong encoding" in findings
    assert "(lines 1, 2)" in findings


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
    (file,) = checks.write_refused({place: [Refusal(3, "text", *EMPTY, "{}")]})
    assert file == tmp_path / "a.jsonl.refused.jsonl"
    assert json.loads(file.read_text())["line"] == 3
    assert checks.write_refused({place: []}) == []


def test_a_folder_that_cannot_be_written_to(home: Path) -> None:
    place = "/proc/nowhere/a.jsonl"
    (file,) = checks.write_refused({place: [Refusal(3, "text", *EMPTY)]})
    assert file == home / "refused" / "a.jsonl.refused.jsonl"


def test_the_report_says_it_all(recipe: Recipe) -> None:
    path = Path(str(recipe.data[0].path))
    path.write_text(path.read_text() + "{\n")
    report = "\n".join(preview.report(recipe))
    assert "32 rows to train on, 8 to validate on, 1 refused" in report
    assert "line 33: not JSON at character" in report
    assert "refused rows are in" in report
    assert "labels: positive 16, negative 16" in report
    assert "tokens of text and answer: ≤32: 32" in report
    assert "estimate: 6 steps" in report
    assert "GB of memory" in report


def test_what_is_refused_is_said_before_it_stops(recipe: Recipe) -> None:
    path = Path(str(recipe.data[0].path))
    write_jsonl(path, [*rows(40), *[{"text": "", "label": "positive"}] * 6])
    lines: list[str] = []
    with pytest.raises(InputError, match=r"6 of 54 rows are refused.*say max_refused=0\.12"):
        lines.extend(preview.report(recipe))
    assert lines[1] == (
        "  refused: train.jsonl, 6 lines (41, 42, 43, 44, 45, …), column 'text': empty. Fill it or "
        "delete the row."
    )
    assert f"  refused rows are in {path}.refused.jsonl" in lines
    told_otherwise = recipe.model_copy(update={"max_refused": 0.2})
    assert "estimate" in list(preview.report(told_otherwise))[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "of 8 rows 0 are left"),
        (rows(1), "of 1 rows 0 are left"),
        ([rows(1)[0]] * 30, "Every row has the label 'positive'"),
    ],
)
def test_rows_that_teach_nothing_are_an_error(
    recipe: Recipe, content: list[dict[str, str]], said: str
) -> None:
    write_jsonl(Path(str(recipe.data[0].path)), content)
    source = recipe.data[0].model_copy(update={"validation": None} if content else {})
    with pytest.raises(InputError, match=said):
        list(preview.report(recipe.model_copy(update={"data": [source]})))


def test_labels_that_look_alike_and_lone_ones(sentiment: ExampleEncoder) -> None:
    answers = ["bugs"] * 9 + ["Bugs", "bugs\u200b", "ｂｕｇｓ"] + ["billing"] * 9 + ["shipping"]
    train = [Row(f"text {i}", answer, line=i) for i, answer in enumerate(answers)]
    findings = findings_of(DataSet(HERE, train, [Row("x", "refunds", line=70)]), sentiment)
    assert "labels look alike, and count as different: 'bugs' (9), 'Bugs' (1)" in findings
    assert '"ｂｕｇｓ": "bugs"' in findings
    assert "4 labels have a single row" in findings
    assert "validation rows have labels that no training row has: 'refunds' (lines 70)" in findings
    assert "only 5 rows to learn from" in findings_of(DataSet(HERE, train[:5], []), sentiment)


def test_translations_need_their_languages(recipe: Recipe) -> None:
    translation = model.encoder(model.load_tokenizer(recipe), load_tasks()["translation"])
    pairs = [
        ("The shop is closed today.", "Le magasin est fermé aujourd’hui.", {}),
        ("He is my brother.", "Il est mon frère.", {"source": "English", "target": "fr-FR"}),
        ("It rains.", "Il pleut.", {"source": "en", "target": "Frensh"}),
    ]
    table = Table([Row(*pair, line=i) for i, pair in enumerate(pairs, 2)])
    known = usable(table, recipe, HERE, translation)
    assert [row.slots for row in known.rows] == [{"source": "en", "target": "fr"}]
    said = list(map(str, known.refused))
    assert said[0].startswith("line 2, column 'target': the row does not say the language")
    assert "`fills: {source: en, target: fr}`" in said[0]
    assert said[1].startswith("line 4, column 'target': 'Frensh' is no language")
