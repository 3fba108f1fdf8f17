"""A model as the judge of written answers: only what it says in both orders counts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from judging import TASKS, reviews, run_plan, write_rows

from core.errors import InputError
from engine.fake import FakeEngine
from engine.interface import Choice, ChooseRequest, Usage
from evaluation import preference, runner


class Judge(FakeEngine):
    """Prefers the answer with more of a word; without it, whatever stands in place A."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        shown = request.messages[-1]["content"].split("Answer A:")[1]
        a, b = (part.count(self.word) for part in shown.split("Answer B:"))
        return Choice({"A": float(a - b) + 0.5, "B": 0.0}, Usage(1, 1, 0.0, 0.0, "end"))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    rows = [{"document": f"Text {i} says little.", "summary": "Little."} for i in range(12)]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    folders = tmp_path / "base", tmp_path / "short"
    for folder, name in zip(folders, (None, "short"), strict=True):
        runner.run(run_plan("summarization", file, name), FakeEngine({"short": "abc"}), folder)
    return folders


def test_the_second_wins(runs: tuple[Path, Path]) -> None:
    preferred = preference.judge(*runs, TASKS["summarization"], Judge("[short]"))
    assert preferred.wins == {"first": 0, "second": 12, "neither": 0}
    assert preferred.verdict == "better"
    assert preferred.share.value == 1
    assert preferred.p == pytest.approx(2 * 0.5**12)


def test_the_other_way_round(runs: tuple[Path, Path]) -> None:
    preferred = preference.judge(
        runs[1], runs[0], TASKS["summarization"], Judge("[short]"), limit=8
    )
    assert (preferred.rows, preferred.wins["first"], preferred.verdict) == (8, 8, "worse")


def test_a_judge_that_looks_at_the_place_shows_nothing(runs: tuple[Path, Path]) -> None:
    preferred = preference.judge(*runs, TASKS["summarization"], Judge("no such word"))
    assert preferred.wins["neither"] == preferred.rows == 12
    assert preferred.verdict == "no difference shown"
    assert preferred.share.value == 0.5


def test_labels_have_a_right_answer(tmp_path: Path) -> None:
    runner.run(run_plan("sentiment", reviews(tmp_path)), FakeEngine(), tmp_path / "run")
    with pytest.raises(InputError, match="use compare"):
        preference.judge(tmp_path / "run", tmp_path / "run", TASKS["sentiment"], FakeEngine())
