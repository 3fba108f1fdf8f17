"""Rows to be judged as people have them: labels in other words, languages unsaid, other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judging import write_rows

from core.errors import InputError
from evaluation.rows import EvaluationData, EvaluationRow
from tasks.data_files import FileForm
from tasks.spec import load_tasks

TASKS = load_tasks()
PAIRS = [
    {"source": "The shop is closed today.", "target": "Le magasin est fermé aujourd’hui."},
    {"source": "He is my brother.", "target": "Il est mon frère."},
    {"source": "It is raining again.", "target": "Il pleut encore."},
]


def judged(
    folder: Path, task: str, records: list[dict[str, Any]], **options: Any
) -> tuple[list[EvaluationRow], list[str]]:
    file = write_rows(folder / "rows.jsonl", records)
    said: list[str] = []
    return EvaluationData(file, {}, **options).rows(TASKS[task], said.append), said


def test_languages_are_those_of_the_adapter(tmp_path: Path) -> None:
    both = {"source": ["en", "fr"], "target": ["en", "fr"]}
    rows, said = judged(tmp_path, "translation", PAIRS, trained=both)
    assert [row.slots for row in rows] == [{"source": "en", "target": "fr"}] * 3
    assert said == [
        "rows.jsonl names no languages. Of those of the adapter they are source en, target fr."
    ]
    rows, _ = judged(tmp_path, "translation", PAIRS, trained=both, reverse=True)
    assert rows[0].slots == {"source": "fr", "target": "en"}
    assert rows[0].text == PAIRS[0]["target"]


@pytest.mark.parametrize("trained", [{}, {"source": ["en", "de"], "target": ["en", "de"]}])
def test_languages_that_nothing_says_are_asked_for(
    tmp_path: Path, trained: dict[str, list[str]]
) -> None:
    with pytest.raises(InputError, match=r"does not say the (source|target) language .*target=fr"):
        judged(tmp_path, "translation", PAIRS, trained=trained)
    rows, said = judged(
        tmp_path, "translation", PAIRS, trained=trained, fills={"source": "en", "target": "fr"}
    )
    assert (rows[0].slots, said) == ({"source": "en", "target": "fr"}, [])


def test_labels_by_their_look_and_by_a_mapping(tmp_path: Path) -> None:
    records = [{"text": "a", "label": "Positive"}, {"text": "b", "label": "负面"}]
    rows, _ = judged(tmp_path, "sentiment", records)
    assert [row.reference for row in rows] == ["positive", "negative"]
    coded = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    with pytest.raises(InputError, match=r"--answer 0=negative --answer 1=positive"):
        judged(tmp_path, "sentiment", coded)
    mapping = {"0": "negative", "1": "positive"}
    rows, _ = judged(tmp_path, "sentiment", coded, answers=mapping)
    assert [row.reference for row in rows] == ["positive", "negative"]


def test_files_of_other_tools(tmp_path: Path) -> None:
    file = tmp_path / "chats.json"
    turns = [{"from": "human", "value": "我喜欢"}, {"from": "gpt", "value": "正面"}]
    file.write_bytes(json.dumps([{"conversations": turns}], ensure_ascii=False).encode("gbk"))
    data = EvaluationData(file, {}, form=FileForm(encoding="gbk"))
    assert data.rows(TASKS["sentiment"]) == [EvaluationRow(1, "我喜欢", "positive", {})]
