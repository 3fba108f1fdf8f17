"""A skill's slots are found by their types: judging one whose slots have other names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from judging import write_rows

from core.paths import REPOSITORY
from engine.fake import FakeEngine
from evaluation import record, runner
from evaluation.compare import compare
from evaluation.rows import EvaluationData
from evaluation.run_plan import RunPlan
from tasks.spec import TaskSpec, load_tasks


def renamed(home: Path, task: str, slots: dict[str, str]) -> TaskSpec:
    """A skill of the person's own like a shipped one, with other names for its slots."""
    shipped, folder = REPOSITORY / "tasks" / task, home / "tasks" / f"my-{task}"
    text = (shipped / "task.yaml").read_text(encoding="utf-8")
    for old, new in slots.items():
        text = text.replace(f"{{{old}}}", f"{{{new}}}")
    values = yaml.safe_load(text) | {"name": folder.name, "commands": []}
    values["slots"] = {slots[name]: slot for name, slot in values["slots"].items()}
    values["columns"] = {column: slots.get(r, r) for column, r in values["columns"].items()}
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "requests.yaml").write_bytes((shipped / "requests.yaml").read_bytes())
    return load_tasks()[folder.name]


@pytest.fixture
def translation(home: Path) -> TaskSpec:
    return renamed(home, "translation", {"target": "into", "source": "from"})


def pairs(folder: Path) -> Path:
    """Twenty sentences, half into Chinese, where a number alone does not say so."""
    rows = [
        {"source": f"Room {i}.", "target": f"{i} OK", "source_lang": "en", "target_lang": target}
        for target in ("zh", "fr")
        for i in range(10)
    ]
    return write_rows(folder / "pairs.jsonl", rows)


def run_plan(task: TaskSpec, file: Path, **options: object) -> RunPlan:
    data = EvaluationData(file, {}, **options)  # type: ignore[arg-type]
    return RunPlan(task, data, data.rows(task))


def test_own_labels_are_offered(home: Path, tmp_path: Path) -> None:
    task = renamed(home, "classification", {"labels": "kinds"})
    file = write_rows(tmp_path / "a.jsonl", [{"text": "about ham", "label": "ham"}])
    engine = FakeEngine()
    finished = runner.run(run_plan(task, file, labels="ham, spam"), engine, tmp_path / "run")
    assert engine.calls[0].labels == ("ham", "spam")  # type: ignore[union-attr]
    assert "ham, spam" in engine.calls[0].messages[0]["content"]  # type: ignore[union-attr]
    assert finished.figures["accuracy"].value == 1


def test_figures_know_the_language_of_the_answers(translation: TaskSpec, tmp_path: Path) -> None:
    finished = runner.run(run_plan(translation, pairs(tmp_path)), FakeEngine(), tmp_path / "run")
    assert "tok:zh" in finished.signatures["bleu"]
    assert "tok:13a" in finished.signatures["bleu"]
    assert [part.name for part in finished.slices if part.kind == "language"] == ["en-fr", "en-zh"]
    again = compare(tmp_path / "run", tmp_path / "run").compared[0]
    assert (again.name, round(again.first, 6)) == ("bleu", finished.figures["bleu"].value)


def test_the_other_direction_exchanges_the_languages(translation: TaskSpec, tmp_path: Path) -> None:
    engine = FakeEngine()
    turned = run_plan(translation, pairs(tmp_path), reverse=True)
    runner.run(turned, engine, tmp_path / "run")
    assert "Chinese to English" in engine.calls[0].messages[0]["content"]  # type: ignore[union-attr]
    (first, *_) = record.outcomes(tmp_path / "run")
    assert (first.text, first.reference) == ("0 OK", "Room 0.")
    assert first.slots == {"into": "en", "from": "zh"}
