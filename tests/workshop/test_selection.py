"""Reviewed rows become files that training and evaluation read as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from reviewing import row

from evaluation.__main__ import _pairs
from evaluation.rows import EvaluationData
from finetune import data, model, preview
from finetune.recipe import load_recipe
from tasks.rows import Row
from tasks.spec import load_tasks
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore
from workshop.selection import RowFilter, Selection, select

TASKS = load_tasks()
OWN = ["bug, crash", "praise", "question"]
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "sentiment": (["positive", "negative", "neutral"], {}),
    "classification": (OWN, {"labels": OWN}),
    "translation": (["Le train est en retard.", "Bonsoir !"], {"source": "en", "target": "fr"}),
    "summarization": (["- Rain.\n- Wind.", "- Snow."], {"length": "bullets", "count": "2"}),
}


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    return ReviewStore(tmp_path / "review.sqlite")


def accept(store: ReviewStore, rows: list[ReviewRow]) -> None:
    store.add(rows)
    for one in rows:
        store.decide(one.id, one.suggested, by="owner")


def many(task: str, rights: list[str], slots: dict[str, Any], count: int = 24) -> list[ReviewRow]:
    return [
        row(
            f"{task}-{i}", f"The late train number {i}, and its rain.", task=task, slots=slots,
            suggested=rights[i % len(rights)], held_out=i % 4 == 0,
        )
        for i in range(count)
    ]  # fmt: skip


def trained_on(selection: Selection, folder: Path, base: Path) -> tuple[list[Row], str]:
    """The rows as a training reads them, and what `finetune check` says."""
    selection.write(folder)
    recipe = {
        "task": selection.task.name, "base": str(base), "data_folder": str(folder),
        "data": [selection.data_source()], "epochs": 1,
    }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True))
    loaded = load_recipe(str(folder / "mine.yaml")).recipe
    report = "\n".join(preview.report(loaded))
    [read] = data.load(
        loaded, selection.task, model.encoder(model.load_tokenizer(loaded), selection.task)
    )
    return [*read.train, *read.validation], report


@pytest.mark.parametrize("name", CASES)
def test_both_files_are_read_as_they_are(
    store: ReviewStore, tmp_path: Path, tiny_folder: Path, name: str
) -> None:
    rights, slots = CASES[name]
    accept(store, many(name, rights, slots))
    selection = select(store, TASKS[name])
    assert (len(selection.training), len(selection.held_out)) == (18, 6)
    rows, report = trained_on(selection, tmp_path / "job", tiny_folder)
    assert "reviewed rows: 16 rows to train on, 2 to validate on, 0 refused" in report
    texts = {one.text: one.right for one in selection.training}
    assert {one.text: one.answer for one in rows} == texts
    for read in rows:
        assert read.labels == tuple(slots.get("labels", ()))
        assert read.slots == {k: v for k, v in slots.items() if k != "labels"}
    words = selection.evaluation_options()
    named = [words[i + 1] for i, word in enumerate(words) if word == "--column"]
    lists = words[words.index("--labels") + 1] if "--labels" in words else ""
    file = tmp_path / "job" / "held-out.jsonl"
    judged = EvaluationData(file, _pairs("--column", "", named), lists).rows(TASKS[name])
    assert [(one.text, one.reference) for one in judged] == [
        (one.text, one.right) for one in selection.held_out
    ]
    assert all(list(one.labels) == slots.get("labels", []) for one in judged)
    expected = {k: v for k, v in slots.items() if k != "labels"}
    assert all(expected.items() <= one.slots.items() for one in judged)


def test_lists_of_some_rows_and_the_task_s_own_of_others(
    store: ReviewStore, tmp_path: Path, tiny_folder: Path
) -> None:
    accept(store, many("classification", OWN, {"labels": OWN}, 12))
    plain = [
        row(f"n{i}", f"News number {i}.", task="classification", suggested="world")
        for i in range(8)
    ]
    accept(store, plain)
    rows, _ = trained_on(select(store, TASKS["classification"]), tmp_path / "job", tiny_folder)
    assert {len(one.labels) for one in rows} == {3, len(TASKS["classification"].labels)}


def test_languages_that_a_row_does_not_say_are_told_by_its_texts(
    store: ReviewStore, tmp_path: Path
) -> None:
    accept(store, [
        row("a", "The train is late again.", task="translation", suggested="火车又晚点了。")
    ])  # fmt: skip
    select(store, TASKS["translation"]).write(tmp_path)
    [line] = (tmp_path / "training.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "id": "a", "source": "The train is late again.", "target": "火车又晚点了。",
        "source_lang": "en", "target_lang": "zh",
    }  # fmt: skip


def test_what_is_left_out_is_counted_by_its_reason(store: ReviewStore) -> None:
    accept(store, [
        row("good", "one"), row("held", "two", held_out=True), row("same", "Two!"),
        row("label", "three", suggested="angry"), row("broken", "four\ufffd"),
        row("chinese", "这家店的汤是冷的，服务也很慢"), row("marked", "five"),
    ])  # fmt: skip
    store.mark("evaluation", {"marked": "sst2"}, among=["marked"])
    chosen = select(store, TASKS["sentiment"], RowFilter(languages=("en",)))
    assert [one.id for one in chosen.training] == ["good"]
    assert [one.id for one in chosen.held_out] == ["held"]
    assert chosen.left_out == {
        "held_out_too": 1, "label": 1, "broken": 1, "filtered": 1, "evaluation": 1
    }  # fmt: skip


def test_filters_and_counts(store: ReviewStore) -> None:
    accept(store, [
        row("a", "A fine soup it was.", rater="x", suggested="positive"), row("b", "Cold."),
        row("c", "这家店的汤是冷的，服务也很慢", why="random"),
    ])  # fmt: skip
    sentiment = TASKS["sentiment"]

    def chosen(**values: Any) -> list[str]:
        return [one.id for one in select(store, sentiment, RowFilter(**values)).training]

    assert chosen() == ["a", "b", "c"]
    assert chosen(why=("random",)) == ["c"]
    assert chosen(answers=("positive",)) == ["a"]
    assert chosen(raters=("x",)) == ["b", "c"]
    assert chosen(languages=("zh",)) == ["c"]
    assert chosen(since="2999") == []
    assert select(store, sentiment).counts() == {
        "language": {"en": 2, "zh": 1}, "label": {"negative": 2, "positive": 1}
    }  # fmt: skip
    store.leave_out("x")
    assert chosen() == ["b", "c"]
