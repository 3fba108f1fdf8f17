"""Comparisons: paired, worded, and refused where rows differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from judging import Failing, reviews, run_plan, write_rows

from core.errors import InputError
from engine.fake import FakeEngine
from engine.interface import ChooseRequest
from evaluation import record, runner
from evaluation.compare import compare


class Swapped(FakeEngine):
    """Takes positive for negative, unless the adapter `good` is attached."""

    def choose(self, request: ChooseRequest, stop: object = None) -> object:
        choice = super().choose(request)
        if request.adapter != "good":
            a, b, c = choice.logprobs.values()
            swapped = dict(zip(choice.logprobs, (b, a, c), strict=True))
            return type(choice)(swapped, choice.usage)
        return choice


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    words = ["positive", "negative"]
    rows = [{"text": f"{words[i % 2]} {i}", "label": words[i % 2]} for i in range(20)]
    file = write_rows(tmp_path / "a.jsonl", rows)
    engine = Swapped({"good": "abc"})
    for name, adapter in (("base", None), ("good", "good")):
        runner.run(run_plan("sentiment", file, adapter), engine, tmp_path / name)
    return tmp_path / "base", tmp_path / "good"


def test_better_worse_and_no_difference(runs: tuple[Path, Path]) -> None:
    base, good = runs
    comparison = compare(base, good)
    accuracy = comparison.compared[0]
    assert (accuracy.name, accuracy.first, accuracy.second) == ("accuracy", 0.0, 1.0)
    assert accuracy.difference.p == pytest.approx(2 * 0.5**20)
    assert (accuracy.test, comparison.verdict, comparison.rows) == ("exact McNemar", "better", 20)
    by_name = {one.name: one for one in comparison.compared}
    assert by_name["log_loss"].difference.value < 0, "lower is better"
    assert by_name["log_loss"].verdict == "better"
    assert compare(good, base).verdict == "worse"
    assert compare(good, good).verdict == "no difference shown"
    assert not comparison.changed
    sides = comparison.record(base, good)["cost"]
    assert sides["first"]["tokens"] == sides["second"]["tokens"] > 0


def test_rows_that_one_run_failed_are_left_out_of_both(tmp_path: Path) -> None:
    rows = [{"text": "positive", "label": "positive"}, {"text": "unreadable", "label": "negative"}]
    file = write_rows(tmp_path / "a.jsonl", rows)
    runner.run(run_plan("sentiment", file), Failing(), tmp_path / "one")
    runner.run(run_plan("sentiment", file), FakeEngine(), tmp_path / "two")
    comparison = compare(tmp_path / "one", tmp_path / "two")
    assert (comparison.rows, comparison.left_out) == (1, [2])


def test_other_rows_are_refused(tmp_path: Path) -> None:
    file = reviews(tmp_path, times=3)
    for name, limit in (("all", None), ("some", 5)):
        runner.run(run_plan("sentiment", file, limit=limit), FakeEngine(), tmp_path / name)
    with pytest.raises(InputError, match=r"different rows \(18 and 5, 5 shared\)"):
        compare(tmp_path / "all", tmp_path / "some")
    other = reviews(tmp_path / "other")
    runner.run(run_plan("sentiment", other), FakeEngine(), tmp_path / "else")
    with pytest.raises(InputError, match="different data files"):
        compare(tmp_path / "all", tmp_path / "else")
    file = write_rows(tmp_path / "b.jsonl", [{"text": "sports", "label": "sports"}])
    runner.run(run_plan("classification", file), FakeEngine(), tmp_path / "sorting")
    with pytest.raises(InputError, match="different tasks"):
        compare(tmp_path / "sorting", tmp_path / "else")


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    file = reviews(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run(run_plan("sentiment", file), Failing(2), tmp_path / "half")
    assert len(record.outcomes(tmp_path / "half")) == 2
    with pytest.raises(InputError, match="is not finished"):
        compare(tmp_path / "half", tmp_path / "half")
