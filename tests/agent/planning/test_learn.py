"""From the routes that a person corrected to a planner of their own, with the command they have."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.feedback.store import Correction, Feedback
from agent.planning import artefact, learn
from agent.planning.artefact import Artefact
from agent.planning.planner import Planner
from agent.planning.reading import Reader
from agent.planning.samples import Samples
from core.errors import InputError, SetupError
from tasks.spec import load_tasks

VIBE = "what's the vibe with the neighbours' new fence situation"
SUM, INTO = "summarization", "translation"
BOTH = "the gist of it for my cousin in Lyon, who has no English: The pool opens at six."


def planner_in_use() -> Planner:
    trained = Artefact(artefact.in_use())
    return Planner(load_tasks(), Reader(trained), Samples(load_tasks(), trained.names))


def _another(planner: Planner, text: str, *plans: tuple[str, ...]) -> tuple[str, ...]:
    return next(plan for plan in plans if planner.plan(text).tasks != plan)


def test_nothing_to_learn_is_said_before_any_work(home: Path) -> None:
    with pytest.raises(InputError, match="no corrected routes to learn from"):
        CliRunner().invoke(learn.app, catch_exceptions=False)
    Feedback().correct(Correction("t1", VIBE, ["urgency"], ["generation"], 0.5, [], {}))
    ended = CliRunner().invoke(learn.app)
    assert isinstance(ended.exception, InputError)
    assert "1 of 1 left out, to urgency" in ended.stderr
    assert artefact.in_use() == artefact.FOLDER


def test_a_planner_that_lacks_a_fact_says_what_to_do(home: Path) -> None:
    (home / "planner").mkdir(parents=True)
    for file in artefact.FOLDER.iterdir():
        shutil.copy(file, home / "planner")
    record = json.loads((artefact.FOLDER / artefact.RECORD).read_text("utf-8"))
    del record["threshold"]
    (home / "planner" / artefact.RECORD).write_text(json.dumps(record), "utf-8")
    with pytest.raises(SetupError, match=r"agent\.planning\.learn"):
        Artefact(artefact.in_use())


def test_a_planner_of_before_an_update_is_left_aside_and_said_so(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "planner").mkdir(parents=True)
    (home / "planner" / artefact.RECORD).write_text('{"features": 1}', "utf-8")
    assert artefact.in_use() == artefact.FOLDER
    assert "agent.planning.learn" in caplog.text


@pytest.mark.slow
def test_corrected_requests_are_planned_as_they_were_corrected(home: Path) -> None:
    others = [
        "Why is the sky blue?",
        "Translate into French: hello there",
        "Summarize: The shop opens.",
    ]
    shipped = planner_in_use()
    wanted = {
        VIBE: _another(shipped, VIBE, ("generation",), ("sentiment",)),
        BOTH: _another(shipped, BOTH, (SUM, INTO), (INTO, SUM)),
    }
    for turn, (text, plan) in enumerate(wanted.items()):
        found = list(shipped.plan(text).tasks)
        Feedback().correct(Correction(f"t{turn}", text, plan, found, 0.5, [], {}))
    for number in range(50):  # confirmed: the planner had been unsure, and was right
        text = f"Translate into French: the shop in street {number} is open."
        Feedback().correct(Correction(f"c{number}", text, [INTO], [INTO], 0.5, [], {}))
    ended = CliRunner().invoke(learn.app)
    assert ended.exit_code == 0, ended.output
    said = "Of 52 corrected requests 50 were planned as you said before, 5[12] are now"
    assert re.search(said, ended.stderr)
    assert artefact.in_use() == home / "planner"
    assert [path.name for path in home.iterdir() if "tmp" in path.name] == []
    learnt = planner_in_use()
    assert learnt.plan(VIBE).tasks == wanted[VIBE]
    for text in others:
        one, two = shipped.plan(text), learnt.plan(text)
        assert one.tasks == two.tasks
        assert abs(one.confidence - two.confidence) < 0.1
