"""A calibration is fitted on judged rows and serves; stale runs are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judging import run_plan, write_rows

from adapter_store.calibration import read_calibration
from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CALIBRATION, fingerprint_of
from core.errors import InputError
from engine.fake import FakeAdapters, FakeEngine
from engine.interface import ChooseRequest
from evaluation import runner
from evaluation.calibrate import calibrate

TEXTS = {"positive": "positive", "negative": "negative", "neutral": "nothing"}


class Leaning(FakeEngine):
    """Leans to neutral by three nats; knows the calibration of the adapter's folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        names = {folder.name: fingerprint_of(folder)}
        self.adapters = FakeAdapters(names, {}, {folder.name: read_calibration(folder)})

    def choose(self, request: ChooseRequest, stop: object = None) -> Any:
        choice = super().choose(request)
        choice.logprobs["neutral"] += 3
        return choice


@pytest.fixture
def adapter(home: Path) -> Path:
    folder = home / "adapters" / "mine"
    folder.mkdir(parents=True)
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (folder / file).write_text(file)
    return folder


def judged(tmp_path: Path, adapter: Path, name: str, labels: list[str]) -> tuple[Path, float]:
    rows = [{"text": f"{TEXTS[label]} {i}", "label": label} for i, label in enumerate(labels)]
    file = write_rows(tmp_path / f"{name}.jsonl", rows)
    run = runner.run(run_plan("sentiment", file, "mine"), Leaning(adapter), tmp_path / name)
    return tmp_path / name, run.figures["accuracy"].value


def test_biases_are_fitted_over_runs_and_served(tmp_path: Path, adapter: Path) -> None:
    verdicts, before = judged(tmp_path, adapter, "verdicts", ["positive", "negative"] * 20)
    plain, right = judged(tmp_path, adapter, "plain", ["neutral"] * 20)
    assert (before, right) == (0, 1)
    fitted = calibrate([verdicts, plain])
    assert fitted.accuracy == (pytest.approx(1 / 3), 1)
    assert fitted.log_loss[1] < fitted.log_loss[0]
    calibration = read_calibration(adapter)
    assert calibration.biases["neutral"] < calibration.biases["positive"]
    assert (calibration.rows, calibration.data.count(".jsonl")) == (60, 2)
    again, after = judged(tmp_path, adapter, "again", ["positive", "neutral"] * 20)
    assert after == 1
    assert sum(calibrate([again]).calibration.biases.values()) == pytest.approx(0, abs=1e-3)


def test_a_run_before_the_biases_is_stale(tmp_path: Path, adapter: Path) -> None:
    folder, _ = judged(tmp_path, adapter, "verdicts", ["positive", "neutral"] * 20)
    calibrate([folder])
    with pytest.raises(InputError, match="biases have changed"):
        calibrate([folder])


def test_other_runs_are_refused(tmp_path: Path, adapter: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", [{"text": "positive", "label": "positive"}])
    runner.run(run_plan("sentiment", file), Leaning(adapter), tmp_path / "base")
    with pytest.raises(InputError, match="one adapter"):
        calibrate([tmp_path / "base"])
    folder, _ = judged(tmp_path, adapter, "verdicts", ["positive", "neutral"])
    (adapter / ADAPTER_WEIGHTS).write_text("other weights")
    with pytest.raises(InputError, match="have changed"):
        calibrate([folder])


def test_other_labels_have_no_bias(tmp_path: Path, adapter: Path) -> None:
    (adapter / CALIBRATION).write_text(
        json.dumps({"temperature": 1, "biases": {"positive": 0, "negative": 0, "neutral": -9}})
    )
    scores = {"positive": -1.0, "negative": -2.0, "neutral": -0.5}
    calibration = read_calibration(adapter)
    assert calibration.with_biases(scores)["neutral"] == -9.5
    assert calibration.with_biases({**scores, "mixed": -3.0}) == {**scores, "mixed": -3.0}
