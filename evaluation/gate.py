"""The gate: what an adapter needs before the chat uses it by default."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm

from core import sequential
from core.statement import Statement
from evaluation import baseline, compare, elsewhere, record, row_scores
from evaluation import gate_sentences as sentences
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
        _served_alike(comparison.changed),
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


def _served_alike(changed: Mapping[str, tuple[Any, Any]]) -> Check:
    """Another base, quantization, prompt or decoding would decide in place of the adapter."""
    return Check("same conditions", not changed, sentences.conditions(changed))


def _better(comparison: Comparison, gain: Gain, tokens: float, new: Run, limits: Rules) -> Check:
    """The figure must be better at this look, and its rows at all looks."""
    first = comparison.compared[0]
    seen = [
        sentences.figure(first, comparison.rows),
        sentences.row_by_row(gain.score, gain.evidence),
        sentences.candidate(gain.candidate),
    ]

    def check(passed: bool, found: Statement, more: int = 0) -> Check:
        return Check("better", passed, [*seen, found], more)

    shown = gain.evidence.answer
    if first.verdict == "better" and shown == "better":
        return check(True, sentences.shown())
    if first.verdict == "worse" and shown != "not enough evidence":
        return check(False, sentences.worse())
    within = first.verdict != "worse" and _loss(first, new) <= limits.margin
    if tokens <= limits.cheaper and within and gain.harmless.answer == "better":
        return check(True, sentences.cheaper(tokens))
    if more := _more_rows(gain, tokens <= limits.cheaper):
        return check(False, sentences.unsure(), more)
    return check(False, sentences.no_gain(limits.gain, limits.margin, tokens))


def _more_rows(gain: Gain, cheaper: bool) -> int:
    """About how many more rows would tell; 0 where it is settled that there is no gain."""
    if gain.evidence.answer == "better":  # by its rows, and not yet by the figure over all of them
        return gain.evidence.rows
    ways = [gain.evidence, gain.harmless] if cheaper else [gain.evidence]
    return min((way.more_rows for way in ways if way.more_rows), default=0)


def _harmless(number: int, other: Elsewhere, limits: Rules) -> Check:
    about, evidence = f"{number}, {other.task} on {other.data}", other.evidence

    def check(passed: bool, said: Sequence[Statement], more: int = 0) -> Check:
        return Check("elsewhere", passed, said, more, about)

    if other.changed:
        return check(False, sentences.conditions(other.changed))
    if other.failed > limits.failed:
        return check(False, [sentences.no_answer(other.failed, limits.failed)])
    said = [sentences.row_by_row(other.score, evidence), sentences.harm(evidence, limits.harm)]
    return check(evidence.answer == "better", said, evidence.more_rows)


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
    fallen, shown, looked = [], False, 0
    for piece in new.slices:
        was = before.get((piece.kind, piece.name))
        if was is None or was.value is None or piece.figure.value is None:
            continue
        if piece.figure.rows < limits.slice_rows:
            continue
        looked += 1
        fall = _fall(was.value - piece.figure.value, was.value, piece.figure.better, new.primary)
        if fall > limits.slice_margin:
            fallen.append((piece, was.value))
            spread = _fall(_half(was), was.value, was.better, new.primary)
            shown |= fall - limits.slice_margin > abs(spread)
    if looked:
        # A slice's few rows may fall by chance: as many again tell more.
        more = new.settings.rows if fallen and not shown else 0
        said = sentences.slices(fallen, looked, limits.slice_margin)
        yield Check("slices", not fallen, said, more)


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
        passed = error <= limits.calibration
        by_chance = error - _chance_error(new.chosen) <= limits.calibration
        few = max(0, limits.slice_rows - new.settings.rows)
        more = max(few, new.settings.rows if by_chance else 0) if not passed else 0
        said = [sentences.calibration(fitted, limits.calibration)]
        yield Check("calibration", passed, said, more)


def _chance_error(chosen: ChoiceReport) -> float:
    """The calibration error that calibrated probabilities would have on so few rows."""
    bins = [(one["rows"], one["confidence"]) for one in chosen.reliability]
    rows = sum(count for count, _ in bins)
    spread = sum(math.sqrt(2 * n * p * (1 - p) / math.pi) for n, p in bins)
    return spread / rows if rows else 0.0


def _valid(new: Run, folder: Path, limits: Rules) -> Iterator[Check]:
    failed, rows = new.failed, new.settings.rows
    said = sentences.unanswered(failed, rows, limits.failed)
    yield Check("answers", failed / rows <= limits.failed, [said])
    if new.chosen is not None:
        return
    answers = [row.answer for row in record.outcomes(folder) if row.error is None]
    empty = sum(not answer.strip() for answer in answers) / max(1, len(answers))
    yield Check("not empty", empty <= limits.empty, [sentences.empty(empty, limits.empty)])
    repeats = new.figures.get("repetition")
    if repeats is not None and repeats.value is not None:
        said = sentences.repetition(repeats.value, limits.repetition)
        yield Check("repetition", repeats.value <= limits.repetition, [said])


def _contamination(new: Run, limits: Rules) -> Iterator[Check]:
    if new.contamination is not None:
        count = len({*new.contamination.exact, *new.contamination.near})
        rows = new.settings.rows
        said = sentences.contamination(count, rows, limits.contaminated)
        yield Check("contamination", count / rows <= limits.contaminated, [said])


def _baseline(new: Run, limits: Rules) -> Iterator[Check]:
    """An adapter that chooses has to beat what anybody trains on its rows in a minute."""
    if new.chosen is None or new.settings.adapter is None:
        return
    found = new.baseline
    if found is None:
        yield Check("baseline", False, [sentences.baseline_missing()])
    elif found.compared is None:
        yield Check("baseline", found.status != "not readable", baseline.sentences(found))
    else:
        gain = found.compared.difference.value or 0.0
        beats = found.compared.verdict == "better" and gain >= limits.baseline
        said = baseline.sentences(found)
        if beats:
            yield Check("baseline", True, said)
        else:
            said.append(sentences.baseline_unbeaten(limits.baseline))
            yield Check("baseline", False, said, _more_for_baseline(found.compared, limits))


def _more_for_baseline(compared: BaselineComparison, limits: Rules) -> int:
    """About how many more rows show a gain that these hint at; p falls as if it were normal."""
    gain, rows = compared.difference.value or 0.0, compared.difference.rows
    if compared.verdict != "worse" and rows < limits.slice_rows:  # too few to say it is as good
        return limits.slice_rows - rows
    if compared.verdict != "no difference shown" or gain <= max(0.0, limits.baseline):
        return 0
    share = (norm.isf(compare.SIGNIFICANCE_LEVEL / 2) / max(norm.isf(compared.p / 2), 1e-3)) ** 2
    return min(sequential.MOST_ROWS, math.ceil(compared.difference.rows * (share - 1)) or 1)
