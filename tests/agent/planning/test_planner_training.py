"""The training's command: a correction changes that request's plan in the next build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.feedback.store import Correction, Feedback
from agent.planning import artefact, train
from agent.planning.artefact import Artefact
from agent.planning.planner import Planner
from agent.planning.reading import Reader
from agent.planning.samples import Samples
from core.errors import SetupError
from tasks.spec import load_tasks

CORRECTED = "what's the vibe with the neighbours' new fence situation"
OTHERS = [
    "Why is the sky blue?",
    "Translate into French: hello there",
    "Summarize: The shop opens.",
]


def planner_of(folder: Path) -> Planner:
    trained = Artefact(folder)
    return Planner(load_tasks(), Reader(trained), Samples(load_tasks(), trained.names))


@pytest.mark.slow
def test_a_correction_changes_the_next_build(home: Path, tmp_path: Path) -> None:
    before = planner_of(artefact.FOLDER)
    old = before.plan(CORRECTED).steps[0].task
    wanted = "generation" if old != "generation" else "sentiment"
    Feedback().correct(Correction("t1", CORRECTED, [wanted], [old], 0.5, [], {}))
    to = tmp_path / "planner"
    ended = CliRunner().invoke(
        train.app,
        [
            *("--corrections", "--start", str(artefact.FOLDER), "--to", str(to)),
            *("--rounds", "4", "--rows", "2000", "--rate", "2e-4"),
        ],
    )
    assert ended.exit_code == 0, ended.output
    after = planner_of(to)
    assert after.plan(CORRECTED).steps[0].task == wanted
    for text in OTHERS:
        one, two = before.plan(text), after.plan(text)
        assert [step.task for step in one.steps] == [step.task for step in two.steps]
        assert abs(one.confidence - two.confidence) < 0.1


@pytest.mark.slow
@pytest.mark.starter
def test_a_build_from_nothing_takes_the_place_of_another_version(
    home: Path, tmp_path: Path
) -> None:
    to = tmp_path / "planner"
    shutil.copytree(artefact.FOLDER, to)
    record = json.loads((to / artefact.RECORD).read_text("utf-8"))
    (to / artefact.RECORD).write_text(json.dumps(record | {"features": "1"}), "utf-8")
    with pytest.raises(SetupError, match="of version 1"):
        Artefact(to)
    ended = CliRunner().invoke(train.app, ["--to", str(to), "--rounds", "1", "--rows", "64"])
    assert ended.exit_code == 0, ended.output
    assert Artefact(to).record["command"]["rows"] == 64


def test_a_damaged_planner_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / artefact.RECORD).write_text("{", encoding="utf-8")
    with pytest.raises(SetupError, match=r"agent\.planning\.train"):
        Artefact(tmp_path)
