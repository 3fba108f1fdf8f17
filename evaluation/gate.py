"""The gate: what an adapter needs before the chat uses it by default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from evaluation import baseline, compare, record
from evaluation.compare import Comparison, FigureComparison
from evaluation.record import Run
from evaluation.row_scores import OF_HUNDRED

RULES = Path(__file__).with_name("gate.yaml")


class Rules(BaseModel):
    """The thresholds, see gate.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(ge=0)
    cheaper: float = Field(gt=0, le=1)
    slice_rows: int = Field(ge=1)
    slice_margin: float = Field(ge=0)
    calibration: float = Field(ge=0, le=1)
    failed: float = Field(ge=0, le=1)
    empty: float = Field(ge=0, le=1)
    repetition: float = Field(ge=0, le=1)
    contaminated: float = Field(ge=0, le=1)
    baseline: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Check:
    """One thing the gate looked at, and what it found."""

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class GateVerdict:
    """Every check of a candidate beside the adapter in place."""

    checks: list[Check]
    comparison: Comparison

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        lines = [f"{'pass' if c.passed else 'FAIL'}  {c.name}: {c.reason}" for c in self.checks]
        return "\n".join([*lines, "passed" if self.passed else "failed"])


def rules(file: Path = RULES) -> Rules:
    """The thresholds of a file."""
    return Rules(**yaml.safe_load(file.read_text(encoding="utf-8")))


def judge(candidate: Path, in_place: Path, limits: Rules | None = None) -> GateVerdict:
    """Look at a candidate's run beside that of the adapter in place, over the same rows.

    Args:
        candidate: folder of the candidate's finished run.
        in_place: folder of the run of what the chat uses now; the bare base where that is it.
        limits: the thresholds; those of gate.yaml by default.

    Raises:
        InputError: a folder holds no finished run, or they did not judge the same rows.
    """
    limits = limits or rules()
    comparison = compare.compare(in_place, candidate)
    new, old = record.read(candidate), record.read(in_place)
    checks = [
        _served_alike(comparison),
        _better(comparison, new, old, limits),
        *_slices(new, old, limits),
        *_calibration(new, limits),
        *_valid(new, candidate, limits),
        *_contamination(new, limits),
        *_baseline(new, limits),
    ]
    return GateVerdict(checks, comparison)


def _served_alike(comparison: Comparison) -> Check:
    """Another base, quantization, prompt or decoding would decide in place of the adapter."""
    if not comparison.changed:
        return Check("same conditions", True, "base, quantization, task and decoding are the same")
    shown = "; ".join(f"{n}: {a!r} and {b!r}" for n, (a, b) in comparison.changed.items())
    return Check("same conditions", False, f"the runs differ in more than the adapter: {shown}")


def _better(comparison: Comparison, new: Run, old: Run, limits: Rules) -> Check:
    first = comparison.compared[0]
    reason = (
        f"{first.name} {first.first:.4g} → {first.second:.4g}, difference "
        f"{first.difference.value:+.3g} [{first.difference.low:+.3g}, {first.difference.high:+.3g}]"
        f", p {first.difference.p:.2g}, {comparison.rows} rows"
    )
    if first.verdict == "better":
        return Check("better", True, reason)
    if first.verdict == "worse":
        return Check("better", False, f"{reason}: worse than what is in place")
    share = _tokens(new) / _tokens(old)
    cost = f"{share:.2f} of its tokens a row"
    if share <= limits.cheaper and _loss(first, new) <= limits.margin:
        return Check("better", True, f"{reason}: not worse, and cheaper ({cost})")
    return Check(
        "better",
        False,
        f"{reason}: no difference shown, and not both within {limits.margin:g} of it and cheaper "
        f"({cost}). More rows may show one",
    )


def _loss(first: FigureComparison, new: Run) -> float:
    """How much worse the candidate may be, at the bad end of the interval, as a share."""
    lower = new.figures[first.name].better == "lower"
    bad = first.difference.high if lower else -first.difference.low
    if first.name in OF_HUNDRED:
        return bad / 100
    return bad / first.first if lower and first.first else bad


def _tokens(run: Run) -> float:
    """Tokens a row: on one base they decide the time, and no busy machine changes them."""
    answered = run.settings.rows - run.failed
    return run.cost.tokens / answered if run.cost and answered else float("inf")


def _slices(new: Run, old: Run, limits: Rules) -> Iterator[Check]:
    before = {(s.kind, s.name): s.figure for s in old.slices}
    worse, looked = [], 0
    for piece in new.slices:
        was = before.get((piece.kind, piece.name))
        if was is None or was.value is None or piece.figure.value is None:
            continue
        if piece.figure.rows < limits.slice_rows:
            continue
        looked += 1
        fall = was.value - piece.figure.value
        if piece.figure.better == "lower":
            fall = -fall / was.value if was.value else -fall
        elif new.primary in OF_HUNDRED:
            fall /= 100
        if fall > limits.slice_margin:
            worse.append(f"{piece.kind} {piece.name}: {was.value:.4g} → {piece.figure.value:.4g}")
    if worse:
        yield Check(
            "slices", False, f"worse by more than {limits.slice_margin:g}: {'; '.join(worse)}"
        )
    elif looked:
        yield Check("slices", True, f"none of {looked} falls by more than {limits.slice_margin:g}")


def _calibration(new: Run, limits: Rules) -> Iterator[Check]:
    if new.chosen is not None:
        fitted = new.chosen.temperature
        error = fitted.calibration_error_after
        reason = (
            f"error {error:.3f} at temperature {fitted.value:.2f}, at most {limits.calibration:g}"
        )
        yield Check("calibration", error <= limits.calibration, reason)


def _valid(new: Run, folder: Path, limits: Rules) -> Iterator[Check]:
    share = new.failed / new.settings.rows
    reason = f"{new.failed} of {new.settings.rows} rows have no answer"
    yield Check("answers", share <= limits.failed, reason)
    if new.chosen is not None:
        return
    answers = [row.answer for row in record.outcomes(folder) if row.error is None]
    empty = sum(not answer.strip() for answer in answers) / max(1, len(answers))
    yield Check("not empty", empty <= limits.empty, f"{empty:.1%} of the answers are empty")
    repeats = new.figures.get("repetition")
    if repeats is not None and repeats.value is not None:
        reason = f"{repeats.value:.1%} of the 4-grams repeat, at most {limits.repetition:.0%}"
        yield Check("repetition", repeats.value <= limits.repetition, reason)


def _contamination(new: Run, limits: Rules) -> Iterator[Check]:
    if new.contamination is not None:
        count = len({*new.contamination.exact, *new.contamination.near})
        share = count / new.settings.rows
        reason = f"{count} of {new.settings.rows} rows occur in the training data"
        yield Check("contamination", share <= limits.contaminated, reason)


def _baseline(new: Run, limits: Rules) -> Iterator[Check]:
    """An adapter that chooses has to beat what anybody trains on its rows in a minute."""
    if new.chosen is None or new.settings.adapter is None:
        return
    found = new.baseline
    if found is None:
        again = "not measured: give the command of the run again, it only adds the baseline"
        yield Check("baseline", False, again)
    elif found.compared is None:
        yield Check("baseline", found.status != "not readable", baseline.as_sentence(found))
    else:
        gain = found.compared.difference.value or 0.0
        beats = found.compared.verdict == "better" and gain >= limits.baseline
        margin = f" by {limits.baseline:g}" if limits.baseline else ""
        says = "" if beats else f"the adapter does not beat it{margin}: "
        yield Check("baseline", beats, says + baseline.as_sentence(found))
