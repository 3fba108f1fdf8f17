"""The gate's every reason; promotion on evidence, forced, and rolled back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judging import run_plan, write_rows

from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CALIBRATION, fingerprint_of
from adapter_store.promotions import Promotions
from core.errors import InputError
from engine.fake import FakeEngine
from engine.interface import ChooseRequest, Delta, Usage, WriteRequest
from evaluation import baseline, gate, promotion, record, runner

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
    assert str(verdict).endswith("passed")


def test_a_worse_one_and_an_equal_one_do_not(runs: Runs) -> None:
    candidate, in_place = runs
    assert "worse than what is in place" in failed(gate.judge(in_place, candidate))["better"]
    reason = failed(gate.judge(candidate, candidate))["better"]
    assert "no difference shown" in reason


def test_not_worse_and_cheaper_passes(runs: Runs, tmp_path: Path) -> None:
    candidate, _ = runs
    quick = tmp_path / "quick"
    quick.mkdir()
    for file in (record.RUN_FILE, record.ROWS_FILE):
        (quick / file).write_bytes((candidate / file).read_bytes())
    edit(candidate, lambda run: run["cost"].update(tokens=1000))
    edit(quick, lambda run: run["cost"].update(tokens=500))
    verdict = gate.judge(quick, candidate)
    assert verdict.passed, str(verdict)
    assert "cheaper (0.50 of its tokens a row)" in str(verdict)


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
    assert list(failed(gate.judge(*runs))) == [name]


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
    entry = promotion.promote(*runs, gate.judge(*runs))
    assert [e.adapter for e in Promotions().current("sentiment")] == ["mine"]
    assert entry.evidence["rows"] == 80
    assert entry.evidence["before"] == "base"
    assert entry.evidence["figures"]["accuracy"] == [0.5, 1.0, "better"]
    heat = json.loads((adapter / CALIBRATION).read_text())
    assert heat["temperature"] == record.read(runs[0]).chosen.temperature.value


def test_what_failed_is_promoted_only_with_a_reason(runs: Runs) -> None:
    candidate, in_place = runs
    edit(candidate, BREAKS["answers"])
    verdict = gate.judge(candidate, in_place)
    with pytest.raises(InputError, match=r"did not pass the gate \(answers"):
        promotion.promote(candidate, in_place, verdict)
    entry = promotion.promote(candidate, in_place, verdict, "the rows are hard to read")
    assert entry.evidence["forced"] == "the rows are hard to read"


def test_a_changed_adapter_and_the_base_are_not_promoted(runs: Runs, adapter: Path) -> None:
    verdict = gate.judge(*runs)
    with pytest.raises(InputError, match="judged the bare base"):
        promotion.promote(runs[1], runs[0], verdict)
    (adapter / ADAPTER_WEIGHTS).write_text("trained again")
    with pytest.raises(InputError, match="has changed since it was judged"):
        promotion.promote(*runs, verdict)
