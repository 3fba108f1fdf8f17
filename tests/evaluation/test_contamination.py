"""Judged rows that were in the training data, and training files given to be judged on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from judging import TASKS, reviews, run_plan, write_rows

from core.errors import InputError, UnknownName
from core.fingerprint import sha256_file
from engine.fake import FakeEngine
from evaluation import contamination, runner
from evaluation.contamination import TrainingTexts
from evaluation.run_plan import RunPlan

LONG = (
    "The library will open on Sundays from September, staffed by volunteers who trained for half "
    "a day, and the trial ends when fewer than two hundred people come."
)


def test_exact_near_and_new() -> None:
    near = LONG.replace("volunteers", "volunteer")
    other = "The museum closes on Mondays in winter, when its guards take their half-yearly leave."
    training = TrainingTexts(
        [LONG, "图书馆从下月起延长开放时间，平日开到晚上十点，周末开到八点。"], {}
    )
    kinds = training.find(
        [
            LONG.upper() + "!",
            near,
            other,
            "图书馆从下月起延长开放时间，平日开到晚上十点，周末开到九点。",
            "短",
        ]
    )
    assert kinds == ["exact", "near", "", "near", ""]


def test_a_short_text_is_found_whole() -> None:
    assert TrainingTexts(["好吃", "ok"], {}).find(["好吃！", "不好吃", "OK", "okay"]) == [
        "exact", "", "exact", "",
    ]  # fmt: skip


def test_the_figure_without_the_rows_seen(tmp_path: Path) -> None:
    file = reviews(tmp_path)
    seen = write_rows(
        tmp_path / "seen" / "train.jsonl",
        [{"text": "Negative, through and through.", "label": "negative"}],
    )
    plan = run_plan("sentiment", file)
    training = TrainingTexts.of([seen], {}, TASKS["sentiment"])
    plan = RunPlan(plan.task, plan.data, plan.rows, None, training)
    run = runner.run(plan, FakeEngine(), tmp_path / "run")
    assert run.contamination is not None
    assert run.contamination.exact == [2]
    assert run.contamination.near == []
    assert run.contamination.files == {"seen/train.jsonl": sha256_file(seen)}
    assert run.contamination.without is not None
    assert run.contamination.without.rows == 5


def put_adapter(
    home: Path, name: str, files: dict[str, str], sources: list[dict[str, str]]
) -> None:
    folder = home / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"data": [{"sha256": files}]}))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"data": sources}))


def test_a_training_file_is_refused_and_its_validation_file_is_not(
    tmp_path: Path, home: Path
) -> None:
    train, held = reviews(tmp_path / "a"), reviews(tmp_path / "b", times=2)
    held = held.rename(held.with_name("held.jsonl"))
    files = {train.name: sha256_file(train), held.name: sha256_file(held)}
    source = {"path": "a/reviews.jsonl", "validation": "b/held.jsonl"}
    put_adapter(home, "mine", files, [source])
    with pytest.raises(InputError, match="was trained on"):
        contamination.refuse_training_file("mine", train)
    contamination.refuse_training_file("mine", held)
    put_adapter(home, "split", files, [{"path": "b/held.jsonl"}])
    with pytest.raises(InputError, match=r"held\.jsonl is a file that split was trained on"):
        contamination.refuse_training_file("split", held)


def test_an_unknown_adapter_has_near_matches(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean sentiment-en"):
        contamination.refuse_training_file("sentimnt-en", reviews(tmp_path))
