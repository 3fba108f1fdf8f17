"""The curves of a training: written while it runs, kept when it is done, read by others."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core import paths
from core.errors import SettingsError
from finetune import train
from finetune.recipe import load_recipe
from finetune.trackers import require

pytestmark = pytest.mark.slow
OTHERS = ("trackio", "mlflow", "wandb")


def curves(name: str) -> EventAccumulator:
    """What TensorBoard reads of the only run of that name."""
    (folder,) = (paths.user_dir() / "logs" / name).iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_shows_a_run_that_is_done(recipe_file: Path) -> None:
    said: list[str] = []
    folder = train.run(load_recipe(str(recipe_file), ["name=mine"]), say=said.append)
    record = json.loads((folder / "run.json").read_text())
    events = curves("mine")
    steps = [one.step for one in events.Scalars("loss/train")]
    assert steps == list(range(1, record["steps"] + 1))
    judged = events.Scalars("loss/validation")
    shown = [(one.step, pytest.approx(one.value, abs=1e-5)) for one in judged]
    assert [(0, record["loss_before"]), *map(tuple, record["evaluations"])] == shown
    assert events.Scalars("rate")[0].value > 0
    assert f"The curves: tensorboard --logdir {paths.user_dir() / 'logs'}" in said
    assert not list(folder.glob("**/*tfevents*")), "an adapter's folder holds an adapter"
    assert "log_with" not in (folder / "recipe.yaml").read_text()


def test_a_run_that_is_gone_on_with_is_one_curve(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = train.Trainer._step

    def interrupted(self: train.Trainer, batch: train.Batch) -> None:
        if self.state.step == 3:
            raise KeyboardInterrupt
        original(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(train.Trainer, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.run(load_recipe(str(recipe_file), ["name=stopped"]))
    train.run(load_recipe(str(recipe_file), ["name=stopped"]), resume=True)
    assert [one.step for one in curves("stopped").Scalars("loss/train")] == [1, 2, 3, 4, 5, 6]


def test_lines_of_json_show_losses_and_answers(recipe_file: Path) -> None:
    given = ["name=mine", "log_with=[jsonl, tensorboard]", "samples=2"]
    folder = train.run(load_recipe(str(recipe_file), given))
    record = json.loads((folder / "run.json").read_text())
    (file,) = (paths.user_dir() / "logs" / "mine").glob("*/curves.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss/train" in line]
    assert [line["step"] for line in steps] == list(range(1, record["steps"] + 1))
    assert all(line["steps"] == record["steps"] for line in steps)
    assert [line["rows"] for line in steps] == sorted(line["rows"] for line in steps)
    judged = [line for line in lines if "loss/validation" in line]
    answered = [line for line in lines if "sample/1" in line]
    assert len(judged) == len(answered) == 1 + len(record["evaluations"])
    assert [line["step"] for line in judged] == [line["step"] for line in answered]
    for line in answered:
        for number in (1, 2):
            said, arrow, right = line[f"sample/{number}"].partition(" ← ")
            assert arrow
            assert right
            assert isinstance(said, str)
    assert curves("mine").Tags()["tensors"] == [], "no words go to a tracker"
    assert not list(folder.glob("**/curves.jsonl")), "an adapter's folder holds an adapter"


def test_nobody_need_watch(recipe_file: Path) -> None:
    train.run(load_recipe(str(recipe_file), ["name=alone", "log_with=[]"]))
    assert not (paths.user_dir() / "logs").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_a_tracker_that_is_not_installed_is_named_at_once(recipe_file: Path, name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(SettingsError, match=f"pip install {name}"):
        require(load_recipe(str(recipe_file), [f"log_with={name}"]).recipe)


def test_an_unknown_tracker_is_refused(recipe_file: Path) -> None:
    with pytest.raises(SettingsError, match="log_with"):
        load_recipe(str(recipe_file), ["log_with=[tensorbord]"])


def test_mlflow_keeps_the_same_curves(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path / 'runs'}")
    train.run(load_recipe(str(recipe_file), ["name=mine", "log_with=[mlflow, tensorboard]"]))
    (run,) = mlflow.search_runs(experiment_names=["mine"], output_format="list")
    shown = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss/train")
    assert [one.step for one in shown] == [one.step for one in curves("mine").Scalars("loss/train")]
    assert run.data.params["learning_rate"]
    assert not [key for key in run.data.params if key.startswith("data")]
