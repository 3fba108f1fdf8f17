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
from evaluation.compare import Compared, answered, compared
from evaluation.intervals import mean
from evaluation.record import Figure, Outcome
from evaluation.rows import Question, Selection
from evaluation.runner import Job, log_likelihoods, outcome_of, require_whole
from tasks.spec import TaskSpec

PROBES = Path(__file__).with_name("probes")  # rows of our own, a file a task
GENERAL = "general"  # text without a task


@dataclass(frozen=True)
class Probe:
    """Rows to score: those of a task, or general text where `task` is None."""

    name: str
    task: TaskSpec | None
    selection: Selection
    questions: Sequence[Question]


@dataclass(frozen=True)
class Detached:
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
class Touched:
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
    compared: list[Compared]
    changed: Figure | None


@dataclass(frozen=True)
class Interference:
    """The whole finding. `own` is the task that the adapter was trained for, if it is known."""

    adapter: str
    own: str | None
    fingerprints: dict[str, str]
    seed: int
    limit: int | None
    detached: Detached
    probes: list[Touched]

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        values = asdict(self)
        for made, probe in zip(values["probes"], self.probes, strict=True):
            made["changed"] = probe.changed and probe.changed.model_dump()
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
    made = []
    for name, file in chosen.items():
        selection, task = Selection(file, {}, limit=limit, seed=seed), tasks.get(name)
        questions = selection.questions(task) if task else selection.passages()
        contamination.refuse_training_file(adapter, file)
        made.append(Probe(name, task, selection, questions))
    return made


def measure(
    made: Sequence[Probe], adapter: str, own: str | None, engine: Engine, seed: int = 0
) -> Interference:
    """Score everything without the adapter, with it, and general text without it again.

    Raises:
        UnknownName, AdapterError: the adapter is not there or does not fit the base.
    """
    fingerprints = {**engine.fingerprints(), "adapter": engine.adapters.fingerprint(adapter)}
    passages = next(probe for probe in made if probe.task is None)
    total = 2 * sum(len(probe.questions) for probe in made) + len(passages.questions)
    with tqdm(total=total, unit="row") as bar:
        before = [_scored(probe, None, engine, bar) for probe in made]
        attached = [_scored(probe, adapter, engine, bar) for probe in made]
        after = _scored(passages, None, engine, bar)
    place = made.index(passages)
    return Interference(
        adapter=adapter,
        own=own,
        fingerprints=fingerprints,
        seed=seed,
        limit=passages.selection.limit,
        detached=_detached(before[place], attached[place], after),
        probes=[_touched(*each, seed) for each in zip(made, before, attached, strict=True)],
    )


@dataclass(frozen=True)
class _Row:
    """An outcome; of general text also the log-likelihood of each token."""

    outcome: Outcome
    logprobs: tuple[float, ...] = ()


def _scored(probe: Probe, adapter: str | None, engine: Engine, bar: tqdm[Any]) -> list[_Row]:
    rows = []
    for row in _rows(probe, adapter, engine):
        rows.append(row)
        bar.update()
    return rows


def _rows(probe: Probe, adapter: str | None, engine: Engine) -> Iterator[_Row]:
    if probe.task is not None:
        job = Job(probe.task, probe.selection, probe.questions, adapter)
        yield from map(_Row, log_likelihoods(job, engine))
        return
    for question in probe.questions:
        try:
            yield _passage(question, adapter, engine)
        except (PatchbayError, RuntimeError) as error:  # torch raises the second
            yield _Row(outcome_of(question, error=str(error) or type(error).__name__))


def _passage(question: Question, adapter: str | None, engine: Engine) -> _Row:
    """A text scored from its first token, without a chat template."""
    ids = tuple(engine.tokens(question.text))
    scores = engine.score(ScoreRequest((engine.start_token,), (ids,), adapter))
    require_whole(scores.usage.stopped)
    logprobs = scores.continuations[0].logprobs
    outcome = outcome_of(question, log_likelihood=sum(logprobs), reference_tokens=len(logprobs))
    return _Row(outcome, logprobs)


def _detached(before: Sequence[_Row], attached: Sequence[_Row], after: Sequence[_Row]) -> Detached:
    known = [row for row in before if row.outcome.error is None]
    if not known:
        raise InputError(f"No general text could be scored: {before[0].outcome.error}")
    first, second, third = ([row.logprobs for row in rows] for rows in (before, attached, after))
    return Detached(
        texts=len(known),
        tokens=sum(len(row.logprobs) for row in known),
        identical=first == third,
        attached_differs=first != second,
    )


def _touched(probe: Probe, before: Sequence[_Row], attached: Sequence[_Row], seed: int) -> Touched:
    base, adapted = ([row.outcome for row in rows] for rows in (before, attached))
    one, two = answered(base, adapted)
    chooses = probe.task is not None and probe.task.kind == "choose"
    names = ["accuracy", "log_loss"] if chooses else ["perplexity"]
    other = mean("changed", [float(a.answer != b.answer) for a, b in zip(one, two, strict=True)])
    file = probe.selection.file
    return Touched(
        name=probe.name,
        data=f"{file.absolute().parent.name}/{file.name}",
        sha256=probe.selection.sha256(),
        rows=len(one),
        failures={o.line: o.error for o in (*base, *adapted) if o.error is not None},
        compared=[compared(name, one, two, seed) for name in names] if one else [],
        changed=figures.figure(other, seed) if chooses and one else None,
    )
