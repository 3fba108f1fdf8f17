"""YAML files in which words are meant as words."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import yaml_text
from core.errors import SettingsError, TaskError
from finetune.recipe import load_recipe
from tasks.spec import load_tasks


def test_words_and_keys_stay_text() -> None:
    text = "no: yes\non: off\n1.0: 12:30\nnull: 012\n2026-01-02: 2026-01-02\ntrue: true\nx: 6e-4\n"
    assert yaml_text.load(text) == {
        "no": "yes", "on": "off", "1.0": "12:30", "null": "012", "2026-01-02": "2026-01-02",
        "true": True, "x": 0.0006,
    }  # fmt: skip
    assert yaml_text.load("[3, -1, 1.5, ~, null, '', 1_000]") == [
        3,
        -1,
        1.5,
        None,
        None,
        "",
        "1_000",
    ]
    assert yaml_text.load("- &a {x: 1}\n- {<<: *a, y: 2}")[1] == {"x": 1, "y": 2}


def recipe_with(folder: Path, source: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(f"task: sentiment\ndata:\n  - path: a.csv\n    {source}\n")
    return file


@pytest.mark.parametrize(
    ("source", "answers"),
    [
        ("answers: {no: negative, yes: positive}", {"no": "negative", "yes": "positive"}),
        ("answers: {1: positive, 0: negative}", {"1": "positive", "0": "negative"}),
        ("answers: {1.0: on, null: no}", {"1.0": "on", "null": "no"}),
        ("answers: {good: 1, bad: 0}", {"good": "1", "bad": "0"}),
    ],
)
def test_labels_of_a_recipe(tmp_path: Path, source: str, answers: dict[str, str]) -> None:
    assert load_recipe(str(recipe_with(tmp_path, source))).recipe.data[0].answers == answers


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("answers: {good: 1.50}", r"data\.0\.answers\.good=1\.5: YAML reads no text.*quotes"),
        ("answers: {good: null}", r"data\.0\.answers\.good=None: YAML reads no text.*but null"),
        ("columns: {review: true}", r"data\.0\.columns\.review=True: .*but true; put it in quotes"),
    ],
)
def test_what_is_no_text_is_to_be_put_in_quotes(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_recipe(str(recipe_with(tmp_path, source)))


def test_labels_of_a_task(tmp_path: Path) -> None:
    folder = tmp_path / "spam"
    folder.mkdir()
    (folder / "requests.yaml").write_text("en: [is this spam]\nzh: []\n")
    task = (
        "name: spam\nversion: 1\nkind: choose\ntitle: {en: Spam, zh: 垃圾}\n"
        "description: {en: Spam., zh: 垃圾。}\nprompt: {system: 'One of {labels}'}\n"
        "labels:\n  no: {en: no, zh: 否}\n  1: {en: 1, zh: 是}\n"
    )
    (folder / "task.yaml").write_text(task)
    assert list(load_tasks([tmp_path])["spam"].labels) == ["no", "1"]
    (folder / "task.yaml").write_text(task + "  maybe: {en: true, zh: 也许}\n")
    with pytest.raises(TaskError, match=r"labels\.maybe\.en: .*put it in quotes"):
        load_tasks([tmp_path])
    (folder / "task.yaml").write_text(task + "codings: [{0: noo}]\n")
    with pytest.raises(TaskError, match="the label 'noo', which is not in `labels`"):
        load_tasks([tmp_path])
