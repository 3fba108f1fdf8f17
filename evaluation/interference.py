"""What an adapter does where it should not be: to other tasks, to general text, to the bare base.

Everything is scored with the bare base, then with the adapter attached, over the same rows; the
general text is then scored with the bare base again, token by token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from adapter_store.discovery import find_adapter
from core.errors import InputError, PatchbayError, UnknownName
from engine.interface import Engine, ScoreRequest
from evaluation import contamination, figures
from evaluation.compare import FigureComparison, answered_by_both, compare_figure
from evaluation.intervals import mean
from evaluation.record import Figure, Outcome
from evaluation.rows import EvaluationData, EvaluationRow
from evaluation.run_plan import RunPlan
from evaluation.runner import log_likelihoods, outcome_of, require_whole
from tasks.spec import TaskSpec

PROBES = Path(__file__).with_name("probes")  # rows of our own, a file a task
GENERAL = "general"  # text without a task


@dataclass(frozen=True)
class Probe:
    """Rows to score: those of a task, or general text where `task` is None."""

    name: str
    task: TaskSpec | None
    data: EvaluationData
    rows: Sequence[EvaluationRow]


@dataclass(frozen=True)
class DetachCheck:
    """The bare base before and after the adapter was attached, token by token.

    Attributes:
        texts, tokens: how many were scored.
        identical: whether every score is the same number.
        attached_differs: whether any score was another one with the adapter, as it should be.
    """

    texts: int
    tokens: int
    identical: bool
    attached_differs: bool


@dataclass(frozen=True)
class ProbeResult:
    """What the adapter does to the rows of one probe.

    Attributes:
        data, sha256: the file.
        rows: answered both times; the figures rest on these.
        failures: line -> why it was not answered.
        compared: base first, adapter second; the primary figure first, none without rows.
        changed: share of the labels chosen that the adapter changes; None where text is written.
    """

    name: str
    data: str
    sha256: str
    rows: int
    failures: dict[int, str]
    compared: list[FigureComparison]
    changed: Figure | None


@dataclass(frozen=True)
class Interference:
    """The whole finding. `own` is the task that the adapter was trained for, if it is known."""

    adapter: str
    own: str | None
    fingerprints: dict[str, str]
    seed: int
    limit: int | None
    detached: DetachCheck
    probes: list[ProbeResult]

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        values = asdict(self)
        for values_of_probe, probe in zip(values["probes"], self.probes, strict=True):
            values_of_probe["changed"] = probe.changed and probe.changed.model_dump()
        return {"schema": 1, **values}


def own_task(adapter: str, tasks: Mapping[str, TaskSpec]) -> str | None:
    """The task that an adapter was trained for, by its run record, or that names it.

    Raises:
        InputError: it is the bare base.
        UnknownName: there is no such adapter folder.
    """
    if adapter == "base":
        raise InputError("The bare base is what an adapter is held against; name an adapter.")
    trained_for = contamination.run_record_or_empty(find_adapter(adapter)).trained_for
    served = [task.name for task in tasks.values() if adapter in task.adapters]
    return next((task for task in [trained_for, *served] if task in tasks), None)


def files(given: Sequence[str], tasks: Mapping[str, TaskSpec], own: str | None) -> dict[str, Path]:
    """Name -> file of what is scored: general text and every task but the adapter's own.

    Args:
        given: the person's own files as `task=file`; they take the place of ours, and bring in
            a task that is not scored otherwise.

    Raises:
        InputError, UnknownName: `given` is written otherwise or names no task.
    """
    chosen = {
        name: PROBES / f"{name}.jsonl"
        for name in (GENERAL, *tasks)
        if name != own and (PROBES / f"{name}.jsonl").is_file()
    }
    for pair in given:
        name, sign, file = pair.partition("=")
        if not (name and sign and file):
            raise InputError(f"--data is `task=file`, or `{GENERAL}=file`, not {pair!r}.")
        if name != GENERAL and name not in tasks:
            raise UnknownName("task", name, [GENERAL, *tasks])
        chosen[name] = Path(file)
    return chosen


def probes(
    chosen: Mapping[str, Path],
    tasks: Mapping[str, TaskSpec],
    adapter: str,
    limit: int | None = None,
    seed: int = 0,
) -> list[Probe]:
    """Read and check every row before any compute is spent.

    Raises:
        InputError: a row cannot be used, or the adapter was trained on a file.
    """
    checked = []
    for name, file in chosen.items():
        data, task = EvaluationData(file, {}, limit=limit, seed=seed), tasks.get(name)
        rows = data.rows(task) if task else data.plain_texts()
        contamination.refuse_training_file(adapter, file)
        checked.append(Probe(name, task, data, rows))
    return checked


def measure(
    probes: Sequence[Probe], adapter: str, own: str | None, engine: Engine, seed: int = 0
) -> Interference:
    """Score everything without the adapter, with it, and general text without it again.

    Raises:
        UnknownName, AdapterError: the adapter is not there or does not fit the base.
    """
    fingerprints = {**engine.fingerprints(), "adapter": engine.adapters.fingerprint(adapter)}
    general = next(probe for probe in probes if probe.task is None)
    total = 2 * sum(len(probe.rows) for probe in probes) + len(general.rows)
    with tqdm(total=total, unit="row") as bar:
        before = [_scored(probe, None, engine, bar) for probe in probes]
        attached = [_scored(probe, adapter, engine, bar) for probe in probes]
        after = _scored(general, None, engine, bar)
    place = probes.index(general)
    return Interference(
        adapter=adapter,
        own=own,
        fingerprints=fingerprints,
        seed=seed,
        limit=general.data.limit,
        detached=_detach_check(before[place], attached[place], after),
        probes=[_probe_result(*each, seed) for each in zip(probes, before, attached, strict=True)],
    )


@dataclass(frozen=True)
class _ScoredRow:
    """An outcome; of general text also the log-likelihood of each token."""

    outcome: Outcome
    logprobs: tuple[float, ...] = ()


def _scored(probe: Probe, adapter: str | None, engine: Engine, bar: tqdm[Any]) -> list[_ScoredRow]:
    rows = []
    for row in _rows(probe, adapter, engine):
        rows.append(row)
        bar.update()
    return rows


def _rows(probe: Probe, adapter: str | None, engine: Engine) -> Iterator[_ScoredRow]:
    if probe.task is not None:
        plan = RunPlan(probe.task, probe.data, probe.rows, adapter)
        yield from map(_ScoredRow, log_likelihoods(plan, engine))
        return
    for row in probe.rows:
        try:
            yield _general_text(row, adapter, engine)
        except (PatchbayError, RuntimeError) as error:  # torch raises the second
            yield _ScoredRow(outcome_of(row, error=str(error) or type(error).__name__))


def _general_text(row: EvaluationRow, adapter: str | None, engine: Engine) -> _ScoredRow:
    """A text scored from its first token, without a chat template."""
    ids = tuple(engine.tokens(row.text))
    scores = engine.score(ScoreRequest((engine.start_token,), (ids,), adapter))
    require_whole(scores.usage.stopped)
    logprobs = scores.continuations[0].logprobs
    outcome = outcome_of(row, log_likelihood=sum(logprobs), reference_tokens=len(logprobs))
    return _ScoredRow(outcome, logprobs)


def _detach_check(
    before: Sequence[_ScoredRow], attached: Sequence[_ScoredRow], after: Sequence[_ScoredRow]
) -> DetachCheck:
    scored = [row for row in before if row.outcome.error is None]
    if not scored:
        raise InputError(f"No general text could be scored: {before[0].outcome.error}")
    first, second, third = ([row.logprobs for row in rows] for rows in (before, attached, after))
    return DetachCheck(
        texts=len(scored),
        tokens=sum(len(row.logprobs) for row in scored),
        identical=first == third,
        attached_differs=first != second,
    )


def _probe_result(
    probe: Probe, before: Sequence[_ScoredRow], attached: Sequence[_ScoredRow], seed: int
) -> ProbeResult:
    base, adapted = ([row.outcome for row in rows] for rows in (before, attached))
    one, two = answered_by_both(base, adapted)
    chooses = probe.task is not None and probe.task.kind == "choose"
    names = ["accuracy", "log_loss"] if chooses else ["perplexity"]
    other = mean("changed", [float(a.answer != b.answer) for a, b in zip(one, two, strict=True)])
    file = probe.data.file
    return ProbeResult(
        name=probe.name,
        data=f"{file.absolute().parent.name}/{file.name}",
        sha256=probe.data.sha256(),
        rows=len(one),
        failures={o.line: o.error for o in (*base, *adapted) if o.error is not None},
        compared=[compare_figure(name, one, two, seed) for name in names] if one else [],
        changed=figures.figure(other, seed) if chooses and one else None,
    )
