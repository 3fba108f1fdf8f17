"""The gate: what an adapter needs before the chat uses it by default."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm

from core import sequential
from core.sequential import Evidence
from evaluation import baseline, compare, elsewhere, record, row_scores
from evaluation.candidates import Candidates
from evaluation.compare import Comparison, FigureComparison
from evaluation.elsewhere import Elsewhere, Pair
from evaluation.gate_verdict import Check, Gain, GateVerdict
from evaluation.intervals import Better
from evaluation.record import BaselineComparison, ChoiceReport, Figure, Run
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
    alpha: float = Field(gt=0, lt=1)
    gain: float = Field(ge=0, lt=1)
    harm: float = Field(gt=0, lt=1)


def rules(file: Path = RULES) -> Rules:
    """The thresholds of a file."""
    return Rules(**yaml.safe_load(file.read_text(encoding="utf-8")))


def judge(
    candidate: Path, in_place: Path, limits: Rules | None = None, also: Sequence[Pair] = ()
) -> GateVerdict:
    """Look at a candidate's run beside that of the adapter in place, over the same rows.

    It is noted that the candidate was judged on these rows: the next one there is asked for more.

    Args:
        candidate: folder of the candidate's finished run.
        in_place: folder of the run of what the chat uses now; the bare base where that is it.
        limits: the thresholds; those of gate.yaml by default.
        also: other pairs, the candidate's run first, over rows where it may do no harm.

    Raises:
        InputError: a folder holds no finished run, or they did not judge the same rows; a run of
            `also` judged another adapter; the list of candidates cannot be read or written.
    """
    limits = limits or rules()
    comparison = compare.compare(in_place, candidate)
    new, old = record.read(candidate), record.read(in_place)
    gain = _gain(candidate, in_place, limits)
    others = elsewhere.look(also, new, gain.evidence.alpha, limits.harm)
    checks = [
        _served_alike("same conditions", comparison.changed),
        _better(comparison, gain, _tokens(new) / _tokens(old), new, limits),
        *_slices(new, old, limits),
        *_calibration(new, limits),
        *_valid(new, candidate, limits),
        *_contamination(new, limits),
        *_baseline(new, limits),
        *(_harmless(n, other, limits) for n, other in enumerate(others, 1)),
    ]
    return GateVerdict(checks, comparison, gain, others)


def _gain(candidate: Path, in_place: Path, limits: Rules) -> Gain:
    new, old = record.read(candidate), record.read(in_place)
    first, second = compare.same_rows(in_place, candidate)
    scores = row_scores.differences(new.primary, first, second)
    place = Candidates().place(new.settings, old.settings, second)
    alpha = sequential.spent(limits.alpha, place)
    return Gain(
        scores.name,
        sequential.judge(scores.values, alpha, 0.0, limits.gain),
        sequential.judge(scores.values, alpha, -limits.margin),
        place,
    )


def _served_alike(name: str, changed: dict[str, tuple[Any, Any]]) -> Check:
    """Another base, quantization, prompt or decoding would decide in place of the adapter."""
    if not changed:
        return Check(name, True, "base, quantization, task and decoding are the same")
    shown = "; ".join(f"{n}: {a!r} and {b!r}" for n, (a, b) in changed.items())
    return Check(name, False, f"the runs differ in more than the adapter: {shown}")


def _better(comparison: Comparison, gain: Gain, tokens: float, new: Run, limits: Rules) -> Check:
    """The figure must be better at this look, and its rows at all looks."""
    first = comparison.compared[0]
    reason = (
        f"{first.name} {first.first:.4g} → {first.second:.4g}, difference "
        f"{first.difference.value:+.3g} [{first.difference.low:+.3g}, {first.difference.high:+.3g}]"
        f", p {first.difference.p:.2g}, {comparison.rows} rows; {_seen(gain)}"
    )
    shown = gain.evidence.answer
    cost = f"{tokens:.2f} of its tokens a row"
    if first.verdict == "better" and shown == "better":
        return Check("better", True, reason)
    if first.verdict == "worse" and shown != "not enough evidence":
        return Check("better", False, f"{reason}: worse than what is in place")
    within = first.verdict != "worse" and _loss(first, new) <= limits.margin
    if tokens <= limits.cheaper and within and gain.harmless.answer == "better":
        return Check("better", True, f"{reason}: not worse, and cheaper ({cost})")
    more = _more_rows(gain, tokens <= limits.cheaper)
    if more:
        return Check("better", False, f"{reason}: not enough to tell", more)
    return Check(
        "better",
        False,
        f"{reason}: no gain of {limits.gain:g}, and not both within {limits.margin:g} of it and "
        f"cheaper ({cost})",
    )


def _more_rows(gain: Gain, cheaper: bool) -> int:
    """About how many more rows would tell; 0 where it is settled that there is no gain."""
    if gain.evidence.answer == "better":  # by its rows, and not yet by the figure over all of them
        return gain.evidence.rows
    ways = [gain.evidence, gain.harmless] if cheaper else [gain.evidence]
    return min((way.more_rows for way in ways if way.more_rows), default=0)


def _seen(gain: Gain) -> str:
    return (
        f"over all looks {_of_rows(gain.score, gain.evidence)}, candidate {gain.candidate} on them"
    )


def _of_rows(score: str, evidence: Evidence) -> str:
    return (
        f"{score} {evidence.mean:+.3g} [{evidence.low:+.3g}, {evidence.high:+.3g}] at alpha "
        f"{evidence.alpha:.2g}"
    )


def _harmless(number: int, other: Elsewhere, limits: Rules) -> Check:
    name = f"elsewhere {number}, {other.task} on {other.data}"
    if other.changed:
        return _served_alike(name, other.changed)
    if other.failed > limits.failed:
        return Check(name, False, f"{other.failed:.1%} of the rows have no answer")
    evidence = other.evidence
    reason = f"{_of_rows(other.score, evidence)}, {evidence.rows} rows"
    if evidence.answer == "better":
        return Check(name, True, f"{reason}: a loss of {limits.harm:g} is ruled out")
    if evidence.answer == "not better":
        return Check(name, False, f"{reason}: it loses more than {limits.harm:g} there")
    reason += f": a loss of {limits.harm:g} is not ruled out"
    return Check(name, False, reason, evidence.more_rows)


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
    worse, shown, looked = [], False, 0
    for piece in new.slices:
        was = before.get((piece.kind, piece.name))
        if was is None or was.value is None or piece.figure.value is None:
            continue
        if piece.figure.rows < limits.slice_rows:
            continue
        looked += 1
        fall = _fall(was.value - piece.figure.value, was.value, piece.figure.better, new.primary)
        if fall > limits.slice_margin:
            worse.append(f"{piece.kind} {piece.name}: {was.value:.4g} → {piece.figure.value:.4g}")
            spread = _fall(_half(was), was.value, was.better, new.primary)
            shown |= fall - limits.slice_margin > abs(spread)
    if worse:
        reason = f"worse by more than {limits.slice_margin:g}: {'; '.join(worse)}"
        # A slice's few rows may fall by chance: as many again tell more.
        yield Check("slices", False, reason, 0 if shown else new.settings.rows)
    elif looked:
        yield Check("slices", True, f"none of {looked} falls by more than {limits.slice_margin:g}")


def _fall(fall: float, was: float, better: Better, primary: str) -> float:
    """As a share, of what it was where less is better."""
    if better == "lower":
        return -fall / was if was else -fall
    return fall / 100 if primary in OF_HUNDRED else fall


def _half(figure: Figure) -> float:
    """Half of the interval; nothing where there is none."""
    return ((figure.high or 0.0) - (figure.low or 0.0)) / 2


def _calibration(new: Run, limits: Rules) -> Iterator[Check]:
    if new.chosen is not None:
        fitted = new.chosen.temperature
        error = fitted.calibration_error_after
        reason = (
            f"error {error:.3f} at temperature {fitted.value:.2f}, at most {limits.calibration:g}"
        )
        passed = error <= limits.calibration
        by_chance = error - _chance_error(new.chosen) <= limits.calibration
        few = max(0, limits.slice_rows - new.settings.rows)
        more = max(few, new.settings.rows if by_chance else 0) if not passed else 0
        yield Check("calibration", passed, reason, more)


def _chance_error(chosen: ChoiceReport) -> float:
    """The calibration error that calibrated probabilities would have on so few rows."""
    bins = [(one["rows"], one["confidence"]) for one in chosen.reliability]
    rows = sum(count for count, _ in bins)
    spread = sum(math.sqrt(2 * n * p * (1 - p) / math.pi) for n, p in bins)
    return spread / rows if rows else 0.0


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
        more = 0 if beats else _more_for_baseline(found.compared, limits)
        yield Check("baseline", beats, says + baseline.as_sentence(found), more)


def _more_for_baseline(compared: BaselineComparison, limits: Rules) -> int:
    """About how many more rows show a gain that these hint at; p falls as if it were normal."""
    gain, rows = compared.difference.value or 0.0, compared.difference.rows
    if compared.verdict != "worse" and rows < limits.slice_rows:  # too few to say it is as good
        return limits.slice_rows - rows
    if compared.verdict != "no difference shown" or gain <= max(0.0, limits.baseline):
        return 0
    share = (norm.isf(compare.SIGNIFICANCE_LEVEL / 2) / max(norm.isf(compared.p / 2), 1e-3)) ** 2
    return min(sequential.MOST_ROWS, math.ceil(compared.difference.rows * (share - 1)) or 1)
