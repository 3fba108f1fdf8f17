"""The gate's every reason and its three answers; promotion on evidence, forced, rolled back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judging import run_plan, write_rows

from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CALIBRATION, fingerprint_of
from adapter_store.promotions import Promotions
from core import terminal
from core.errors import InputError
from core.statement import quoted
from engine.fake import FakeEngine
from engine.interface import ChooseRequest, Delta, Usage, WriteRequest
from evaluation import baseline, gate, gate_verdict, promotion, record, runner
from evaluation.__main__ import app

LABELS = ["positive", "negative"]
Runs = tuple[Path, Path]


class Judge(FakeEngine):
    """Right on every second row, and on all of them with an adapter."""

    def choose(self, request: ChooseRequest, stop: object = None) -> Any:
        choice = super().choose(request)
        if request.adapter or "even" in request.messages[-1]["content"]:
            return choice
        a, b, c = choice.logprobs.values()
        return type(choice)(dict(zip(choice.logprobs, (b, a, c), strict=True)), choice.usage)


@pytest.fixture
def adapter(home: Path) -> Path:
    folder = home / "adapters" / "mine"
    folder.mkdir(parents=True)
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (folder / file).write_text(file)
    return folder


@pytest.fixture
def runs(tmp_path: Path, adapter: Path) -> Runs:
    """(candidate, in place) over forty rows."""
    kinds = ["even", "odd"]
    rows = [
        {"text": f"{LABELS[i // 2 % 2] * 3} {kinds[i % 2]} {i}", "label": LABELS[i // 2 % 2]}
        for i in range(80)
    ]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    fingerprint = fingerprint_of(adapter)
    engine = Judge({"mine": fingerprint})
    for name in ("base", "mine"):
        plan = run_plan("sentiment", file, None if name == "base" else name)
        runner.run(plan, engine, tmp_path / name)
        baseline.add(tmp_path / name, tmp_path)
    return tmp_path / "mine", tmp_path / "base"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / record.RUN_FILE).read_text())
    change(values)
    (folder / record.RUN_FILE).write_text(json.dumps(values))


def failed(verdict: gate.GateVerdict) -> dict[str, str]:
    return {check.name: check.reason for check in verdict.checks if not check.passed}


def test_a_better_adapter_passes_with_its_reasons(runs: Runs) -> None:
    verdict = gate.judge(*runs)
    assert verdict.passed, str(verdict)
    assert "accuracy 0.5 → 1" in str(verdict)
    assert str(verdict).endswith("better")
    assert verdict.answer == "better"


def test_a_worse_one_is_not_better_and_an_equal_one_asks_for_rows(runs: Runs) -> None:
    candidate, in_place = runs
    assert "worse than what is in place" in failed(gate.judge(in_place, candidate))["better"]
    equal = gate.judge(candidate, candidate)
    assert equal.answer == "not enough evidence"
    assert 100 < equal.more_rows["better"] < 2000
    assert str(equal).endswith(f"better: about {equal.more_rows['better']:,} more rows")


def times(folder: Path, count: int) -> None:
    """The rows of a run, again and again."""
    file = folder / record.ROWS_FILE
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    more = [
        {**row, "line": row["line"] + n * len(rows), "text": f"{n} {row['text']}"}
        for n in range(count)
        for row in rows
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in more))
    edit(folder, lambda run: run["asked"].update(rows=len(more)))


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in (record.RUN_FILE, record.ROWS_FILE):
        (to / file).write_bytes((folder / file).read_bytes())
    return to


def test_not_worse_and_cheaper_passes_after_enough_rows(runs: Runs, tmp_path: Path) -> None:
    candidate, _ = runs
    quick = copy(candidate, tmp_path / "quick")
    edit(candidate, lambda run: run["cost"].update(tokens=1000))
    edit(quick, lambda run: run["cost"].update(tokens=500))
    few = gate.judge(quick, candidate)
    assert few.answer == "not enough evidence"
    for folder in (quick, candidate):
        times(folder, 1 + -(-few.more_rows["better"] // 80))
    edit(candidate, lambda run: run["cost"].update(tokens=10_000))
    edit(quick, lambda run: run["cost"].update(tokens=5000))
    verdict = gate.judge(quick, candidate)
    assert verdict.passed, str(verdict)
    assert "cheaper (0.50 of its tokens a row)" in str(verdict)


def test_equal_ones_are_not_better_after_enough_rows(runs: Runs, tmp_path: Path) -> None:
    candidate, _ = runs
    other = copy(candidate, tmp_path / "other")
    rows = 80 + gate.judge(other, candidate).more_rows["better"]
    for folder in (other, candidate):
        times(folder, -(-rows // 80))
    verdict = gate.judge(other, candidate)
    assert verdict.answer == "not better"
    assert "no gain of 0.01" in failed(verdict)["better"]
    assert verdict.more_rows == {}


def test_the_second_candidate_on_the_same_rows_is_asked_for_more(
    runs: Runs, tmp_path: Path
) -> None:
    first = gate.judge(*runs)
    second = copy(runs[0], tmp_path / "second")
    edit(second, lambda run: run["asked"]["fingerprints"].update(adapter="another"))
    assert gate.judge(second, runs[1]).gain.candidate == 2
    again = gate.judge(*runs)
    assert first.gain == again.gain
    assert again.gain.candidate == 1
    assert gate.judge(second, runs[1]).gain.evidence.alpha < again.gain.evidence.alpha


@pytest.mark.parametrize(("task", "other_rows"), [("sentiment", True), ("classification", False)])
def test_rows_that_were_never_judged_begin_anew(
    runs: Runs, tmp_path: Path, task: str, other_rows: bool
) -> None:
    gate.judge(*runs)
    other, base = copy(runs[0], tmp_path / "other"), copy(runs[1], tmp_path / "other-base")
    for folder in (other, base):
        if other_rows:
            times(folder, 1)
        edit(folder, lambda run: run["asked"].update(task_name=task))
    edit(other, lambda run: run["asked"]["fingerprints"].update(adapter="another"))
    assert gate.judge(other, base).gain.candidate == 1


def flip(folder: Path, share: float) -> None:
    """Make a share of the answers wrong."""
    file = folder / record.ROWS_FILE
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows[: round(share * len(rows))]:
        row["answer"] = "negative" if row["reference"] == "positive" else "positive"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_harm_elsewhere_is_found_ruled_out_or_asked_about(runs: Runs, tmp_path: Path) -> None:
    same, before = copy(runs[0], tmp_path / "same"), copy(runs[0], tmp_path / "before")
    pair = (same, before)
    asked = gate.judge(*runs, also=[pair])
    assert asked.answer == "not enough evidence"
    (name,) = asked.more_rows
    assert name.startswith("elsewhere 1, sentiment on")
    for folder in pair:
        times(folder, 1 + -(-asked.more_rows[name] // 80))
    assert gate.judge(*runs, also=[pair]).answer == "better"
    flip(same, 0.2)
    harmed = gate.judge(*runs, also=[pair])
    assert harmed.answer == "not better"
    assert "loses more than 0.05" in failed(harmed)[name]
    with pytest.raises(InputError, match="says not better"):
        promotion.promote(*runs, harmed)


def test_elsewhere_wants_the_same_adapter_conditions_and_answers(
    runs: Runs, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="judged the bare base, and mine is to be promoted"):
        gate.judge(*runs, also=[(runs[1], runs[0])])
    same = copy(runs[0], tmp_path / "same")
    edit(same, lambda run: run["asked"]["fingerprints"].update(base="another"))
    assert gate.judge(*runs, also=[(same, runs[1])]).answer == "not better"
    edit(same, lambda run: run["asked"]["fingerprints"].update(
        record.read(runs[0]).settings.fingerprints))  # fmt: skip
    edit(same, lambda run: run.update(failed=20))
    failures = failed(gate.judge(*runs, also=[(same, runs[1])]))
    assert list(failures.values()) == ["25.0% of the rows have no answer; at most 1% is allowed."]


def few_rows(folder: Path, adapter: Path, records: list[dict[str, Any]]) -> Runs:
    file = write_rows(folder / "few.jsonl", records)
    engine = Judge({"mine": fingerprint_of(adapter)})
    for name in ("base", "mine"):
        plan = run_plan("sentiment", file, None if name == "base" else name)
        runner.run(plan, engine, folder / f"few-{name}")
        baseline.add(folder / f"few-{name}", folder)
    return folder / "few-mine", folder / "few-base"


FEW = {
    "one row": [{"text": "positive odd", "label": "positive"}],
    "one row of a class": [
        {"text": f"positive odd {i}", "label": "negative" if i == 7 else "positive"}
        for i in range(30)
    ],
    "all rows alike": [{"text": "positive odd", "label": "positive"}] * 30,
    "no row on which they differ": [
        {"text": f"positive even {i}", "label": "positive"} for i in range(30)
    ],
    "all wrong": [{"text": f"positive even {i}", "label": "negative"} for i in range(30)],
}


@pytest.mark.parametrize("name", FEW)
def test_odd_rows_get_a_sentence(tmp_path: Path, adapter: Path, name: str) -> None:
    verdict = gate.judge(*few_rows(tmp_path, adapter, FEW[name]))
    assert verdict.answer in {"better", "not better", "not enough evidence"}
    assert json.loads(json.dumps(verdict.record(tmp_path / "few-mine", tmp_path / "few-base")))
    if name in {"one row", "no row on which they differ"}:
        assert verdict.more_rows["better"] > 10
        assert "more rows" in str(verdict)


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "same conditions": lambda run: run["asked"]["fingerprints"].update(base="another"),
    "slices": lambda run: run["slices"][-1]["figure"].update(value=0.1),
    "calibration": lambda run: run["chosen"]["temperature"].update(calibration_error_after=0.3),
    "answers": lambda run: run.update(failed=20),
    "contamination": lambda run: run.update(
        contamination={"files": {}, "exact": list(range(10)), "near": [], "without": None}
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_every_other_reason(runs: Runs, name: str) -> None:
    edit(runs[0], BREAKS[name])
    verdict = gate.judge(*runs)
    assert list(failed(verdict)) == [name]
    assert verdict.answer == "not better"


UNDECIDED: dict[str, Callable[[dict[str, Any]], object]] = {
    "slices": lambda run: run["slices"][-1]["figure"].update(value=0.43),
    "calibration": lambda run: (
        run["chosen"]["temperature"].update(calibration_error_after=0.13),
        run["chosen"].update(
            reliability=[{"low": 0.5, "high": 0.6, "rows": 80, "confidence": 0.55, "right": 0.6}]
        ),
    ),
    "baseline": lambda run: run.update(
        baseline={"status": "measured", "compared": compared_with_baseline(0.1, 0.3)}
    ),
}


def compared_with_baseline(gain: float, p: float) -> dict[str, Any]:
    figure = {"value": 0.8, "low": 0.7, "high": 0.9, "rows": 80}
    difference = {**figure, "value": gain}
    verdict = "no difference shown" if p > 0.05 else "better" if gain > 0 else "worse"
    return {"baseline": figure, "adapter": figure, "difference": difference, "p": p,
            "verdict": verdict}  # fmt: skip


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_may_be_chance_asks_for_rows(runs: Runs, name: str) -> None:
    edit(runs[0], UNDECIDED[name])
    verdict = gate.judge(*runs)
    assert list(failed(verdict)) == [name]
    assert verdict.answer == "not enough evidence"
    assert 80 <= verdict.more_rows[name] < 1000


@pytest.mark.parametrize(("gain", "p"), [(-0.1, 0.3), (-0.3, 0.001), (0.0, 1.0)])
def test_a_baseline_that_is_as_good_is_no_matter_of_rows(runs: Runs, gain: float, p: float) -> None:
    edit(runs[0], lambda run: run.update(
        baseline={"status": "measured", "compared": compared_with_baseline(gain, p)}))  # fmt: skip
    assert gate.judge(*runs).answer == "not better"


def test_on_few_rows_a_baseline_as_good_may_be_chance(runs: Runs) -> None:
    compared = compared_with_baseline(0.0, 1.0)
    compared["difference"]["rows"] = 12
    edit(runs[0], lambda run: run.update(baseline={"status": "measured", "compared": compared}))
    verdict = gate.judge(*runs)
    assert (verdict.answer, verdict.more_rows) == ("not enough evidence", {"baseline": 18})


def test_few_rows_do_not_judge_a_slice(runs: Runs) -> None:
    def small(run: dict[str, Any]) -> None:
        run["slices"][0]["figure"].update(value=0.1, rows=5)

    edit(runs[0], small)
    assert gate.judge(*runs).passed


class Parrot(FakeEngine):
    """Writes the reference, or with `stutter` one word again and again, or with `mute` nothing."""

    def write(self, request: WriteRequest, stop: object = None) -> Any:
        text = {"stutter": "no " * 30, "mute": " "}.get(request.adapter or "", "Bonjour à tous")
        yield Delta(text)
        yield Usage(3, 3, 0.1, 0.1, "end")


def test_written_answers_must_be_there_and_vary(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Say hello {i}", "response": "Bonjour à tous", "context": ""}
        for i in range(40)
    ]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    engine = Parrot({"stutter": "a", "mute": "b"})
    for name in (None, "stutter", "mute"):
        runner.run(run_plan("generation", file, name), engine, tmp_path / str(name))
    base = tmp_path / "None"
    assert "repetition" in failed(gate.judge(tmp_path / "stutter", base))
    assert "not empty" in failed(gate.judge(tmp_path / "mute", base))


def test_promotion_writes_who_won_on_which_rows_and_the_temperature(
    runs: Runs, adapter: Path
) -> None:
    entry = promotion.promote(*runs, gate.judge(*runs), by="Ada", why="it reads reviews better")
    assert [e.adapter for e in Promotions().current("sentiment")] == ["mine"]
    assert entry.evidence["rows"] == 80
    assert entry.evidence["before"] == "base"
    assert entry.evidence["by"] == "Ada"
    assert entry.evidence["why"] == "it reads reviews better"
    assert entry.evidence["answer"] == "better"
    assert entry.evidence["gain"]["candidate"] == 1
    watch = entry.evidence["watch"]
    assert (watch["bound"], watch["rows"]) == (0.5, 80)
    assert -0.2 < watch["gap"] < 0.2
    assert entry.evidence["figures"]["accuracy"] == [0.5, 1.0, "better"]
    heat = json.loads((adapter / CALIBRATION).read_text())
    assert heat["temperature"] == record.read(runs[0]).chosen.temperature.value


def test_what_failed_is_promoted_only_with_a_reason(runs: Runs) -> None:
    candidate, in_place = runs
    edit(candidate, BREAKS["answers"])
    verdict = gate.judge(candidate, in_place)
    with pytest.raises(InputError, match=r"says not better \(answers"):
        promotion.promote(candidate, in_place, verdict)
    entry = promotion.promote(candidate, in_place, verdict, "the rows are hard to read")
    assert entry.evidence["forced"] == "the rows are hard to read"


def test_a_trial_needs_no_more_than_not_to_be_found_worse(runs: Runs) -> None:
    verdict = gate.judge(*runs)
    unsure, worse = (
        replace(verdict, checks=[gate_verdict.Check("better", False, [quoted("Too few.")], wanted)])
        for wanted in (90, 0)
    )
    with pytest.raises(InputError, match="says not enough evidence"):
        promotion.promote(*runs, unsure)
    assert promotion.promote(*runs, unsure, share=0.2).share == 0.2
    assert Promotions().current("sentiment") == []
    with pytest.raises(InputError, match="says not better"):
        promotion.promote(*runs, worse, share=0.2)


def test_a_changed_adapter_and_the_base_are_not_promoted(runs: Runs, adapter: Path) -> None:
    verdict = gate.judge(*runs)
    with pytest.raises(InputError, match="judged the bare base"):
        promotion.promote(runs[1], runs[0], verdict)
    (adapter / ADAPTER_WEIGHTS).write_text("trained again")
    with pytest.raises(InputError, match="has changed since it was judged"):
        promotion.promote(*runs, verdict)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        terminal.run(app)
    return int(ended.value.code or 0)


def test_the_command_has_a_code_for_each_answer(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    candidate, base = runs
    same = copy(candidate, tmp_path / "same")
    assert command(monkeypatch, "gate", candidate, base) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "better"
    assert command(monkeypatch, "gate", base, candidate, "--json") == 1
    assert json.loads(capsys.readouterr().out)["answer"] == "not better"
    also = ["--also", same, candidate, "--also", candidate, base]
    assert command(monkeypatch, "gate", candidate, base, *also, "--json") == 3
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] == "not enough evidence"
    assert [other["evidence"]["answer"] for other in found["others"]] == [
        "not enough evidence", "better",
    ]  # fmt: skip
    assert sum(found["more_rows"].values()) > 20
    assert command(monkeypatch, "promote", candidate, base, *also) == 1
    assert "says not enough evidence" in capsys.readouterr().err
    said = ["--by", "Ada", "--why", "it is better"]
    assert command(monkeypatch, "promote", candidate, base, *said) == 0
    assert command(monkeypatch, "rollback", "sentiment", "--by", "Bo", "--why", "a try") == 0
    last = Promotions().history()[-1]
    assert (last.action, last.evidence) == ("rollback", {"by": "Bo", "why": "a try"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gate", "nowhere", "nowhere"], "nowhere holds no evaluation run"),
        (["gate", "mine", "base", "--also", "nowhere", "base"], "holds no evaluation run"),
        (["gate", "mine", "base", "--also", "mine"], "1 follow the first two"),
        (["gate", "mine", "base", "mine", "base"], "Name the folders of"),
        (["promote", "mine", "base", "--also"], "0 follow the first two"),
    ],
)
def test_mistakes_get_a_sentence(
    runs: Runs, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(runs[0].parent)
    assert command(monkeypatch, *words) == 1
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_damaged_list_of_candidates_is_named(runs: Runs, home: Path) -> None:
    (home / "candidates.sqlite").write_text("no database, a text that is long enough to be read")
    with pytest.raises(InputError, match=r"candidates.sqlite, which counts the adapters"):
        gate.judge(*runs)
