"""The simple classifier beside a judged adapter: its figures, and itself without a kept copy."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest
from judged import LEARNT, NAMED, UNNAMED, judged_beside_baseline

from core import terminal
from core.paths import user_dir
from evaluation import record
from workshop.__main__ import app
from workshop.baseline import classifier_zip, read_baseline
from workshop.jobs import Jobs
from workshop.refusal import Refusal
from workshop.rows import ReviewStore
from workshop.withdrawal import withdraw


@pytest.mark.parametrize(("rows", "beaten"), [(NAMED, True), (UNNAMED, False)])
def test_its_figures_are_those_of_the_run(rows: list[dict[str, str]], beaten: bool) -> None:
    job = judged_beside_baseline(LEARNT, rows)
    found, run = read_baseline(job), record.read(job.folder / "held-out-new")
    assert found
    assert run.baseline
    assert run.baseline.compared
    assert (found.beaten, found.worse) == (beaten, not beaten)
    assert (found.training_rows, found.rows, found.unseen) == (20, 40, ("neutral",))
    for ours, theirs in (
        (found.baseline, run.baseline.compared.baseline),
        (found.adapter, run.baseline.compared.adapter),
    ):
        assert (ours.value, ours.low, ours.high) == (theirs.value, theirs.low, theirs.high)


def files() -> set[Path]:
    return {file for file in user_dir().rglob("*") if file.is_file()}


def test_no_copy_of_it_is_kept(home: Path) -> None:
    job = judged_beside_baseline(LEARNT, UNNAMED)
    before = files()
    archive = classifier_zip(Jobs(), job)
    assert files() == before
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        assert "mine-classifier/classify.py" in content.namelist()
        assert b'"zebra3"' in content.read("mine-classifier/classifier.json")


def test_what_was_taken_back_does_not_come_back(home: Path) -> None:
    job = judged_beside_baseline(LEARNT, UNNAMED)
    withdraw(ReviewStore(), ids=["training6"])
    with pytest.raises(Refusal, match=r"taken back since.*is not the one that the adapter") as why:
        classifier_zip(Jobs(), job)
    assert why.value.said.key == "refused.baseline"
    assert "zebra" not in str(why.value)


def test_the_command_saves_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, file = judged_beside_baseline(LEARNT, NAMED), tmp_path / "simple.zip"
    typed = ["workshop", "baseline", job.folder.name, "--save", str(file)]
    monkeypatch.setattr(sys, "argv", typed)
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    assert not ended.value.code
    assert zipfile.is_zipfile(file)
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    assert ended.value.code == 1
