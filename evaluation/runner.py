"""Rows through the app's own engine; a run that is killed goes on where it stopped."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agent import steps
from agent.events import StepFinished
from agent.options import TurnOptions
from agent.plan import Step
from agent.steps import StepRun, TurnContext
from core.errors import InputError, PatchbayError
from engine.interface import ChooseRequest, Engine
from evaluation import figures, record
from evaluation.contamination import Training
from evaluation.record import Asked, Outcome, Run
from evaluation.rows import Question, Selection
from tasks.spec import SlotValue, TaskSpec

PACKAGES = ("numpy", "scipy", "scikit-learn", "sacrebleu", "rouge_score", "torch", "transformers")


@dataclass(frozen=True)
class Judged(StepRun):
    """A step as the chat runs it, with the adapter that is judged in place of the chat's pick."""

    judged: str | None = None

    @cached_property
    def adapter(self) -> str | None:
        """The adapter that is judged."""
        return self.judged


Ask = Callable[[Judged, Question], Outcome]


@dataclass(frozen=True)
class Job:
    """One run: what is asked, and of whom.

    Attributes:
        adapter: an adapter's id; None is the bare base.
        training: training files to look for the rows in, if any were given.
    """

    task: TaskSpec
    selection: Selection
    questions: Sequence[Question]
    adapter: str | None = None
    training: Training | None = None

    def asked(self, engine: Engine) -> Asked:
        """What decides the outcome.

        Raises:
            UnknownName, AdapterError: the adapter is not there or does not fit the base.
        """
        made = engine.fingerprints()
        if self.adapter is not None:
            made["adapter"] = engine.adapters.fingerprint(self.adapter)
        chosen = self.selection
        return Asked(
            task=self.task.fingerprint,
            task_name=self.task.name,
            task_version=self.task.version,
            metrics=figures.names(self.task),
            adapter=self.adapter,
            fingerprints=made,
            decoding=self.task.decoding.model_copy(update={"seed": chosen.seed}).model_dump(),
            seed=chosen.seed,
            data=f"{chosen.file.absolute().parent.name}/{chosen.file.name}",
            sha256=chosen.sha256(),
            columns=chosen.columns,
            labels=chosen.labels,
            limit=chosen.limit,
            reverse=chosen.reverse,
            rows=len(self.questions),
        )


def run(job: Job, engine: Engine, folder: Path) -> Run:
    """Judge what is not judged yet and write the record.

    Raises:
        InputError: the folder holds another run.
        UnknownName, AdapterError: see `Job.asked`.
    """
    asked = job.asked(engine)
    started = _open(folder, asked)
    record.trim(folder)
    done = record.outcomes(folder)
    _check_order(folder, job.questions, done)
    with (folder / record.ROWS).open("a", encoding="utf-8") as file:
        for outcome in _judge(job, engine, asked.metrics, len(done)):
            file.write(record.lines([outcome]))
            file.flush()
    made = summarize(job, asked, started, record.outcomes(folder), _peak_memory())
    record.write(folder, made)
    return made


def likelihoods(job: Job, engine: Engine) -> Iterator[Outcome]:
    """Label scores of each row, or the likelihood of its reference; nothing is written or kept."""
    ask = _chosen if job.task.kind == "choose" else _likely
    return (_tried(ask, _work(job, engine, question), question) for question in job.questions)


def summarize(
    job: Job, asked: Asked, started: str, outcomes: Sequence[Outcome], peak_memory_mib: float
) -> Run:
    """The record of judged rows: the same for the same rows, but for time and memory."""
    good = [outcome for outcome in outcomes if outcome.error is None]
    common: dict[str, Any] = {
        "status": "finished",
        "asked": asked,
        "started": started,
        "finished": _now(),
        "failed": len(outcomes) - len(good),
        "failures": {o.line: o.error for o in outcomes if o.error is not None},
        "score_name": figures.score_name(asked.metrics[0]),
        "versions": {name: version(name) for name in PACKAGES},
    }
    if not good:
        return Run(**common)
    primary = asked.metrics[0]
    statistics = {name: figures.statistic(name, good, job.task) for name in asked.metrics}
    return Run(
        **common,
        figures={name: figures.figure(s, asked.seed) for name, s in statistics.items()},
        signatures=figures.signatures(good, asked.metrics, job.task),
        slices=figures.slices(good, primary, asked.seed, job.task),
        chosen=figures.chosen(good) if job.task.kind == "choose" else None,
        contamination=job.training.found_in(good, statistics[primary], asked.seed)
        if job.training
        else None,
        cost=figures.cost(good, peak_memory_mib),
    )


def _open(folder: Path, asked: Asked) -> str:
    """Begin a run's folder or go on in it.

    Returns:
        when the run was started.
    """
    if (folder / record.RECORD).exists():
        before = record.read(folder)
        if before.asked != asked:
            old, new = before.asked.model_dump(), asked.model_dump()
            other = "; ".join(f"{k} was {old[k]!r}, is {new[k]!r}" for k in old if old[k] != new[k])
            raise InputError(
                f"{folder} holds a run with other settings ({other}). Choose another --output."
            )
        return before.started
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something else already. Choose another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    started = _now()
    record.write(folder, Run(status="running", asked=asked, started=started))
    return started


def _check_order(folder: Path, questions: Sequence[Question], done: Sequence[Outcome]) -> None:
    expected = [(q.line, q.text) for q in questions[: len(done)]]
    if [(outcome.line, outcome.text) for outcome in done] != expected:
        raise InputError(f"{folder / record.ROWS} holds other rows. Choose another --output.")


def _judge(job: Job, engine: Engine, named: Sequence[str], done: int) -> Iterator[Outcome]:
    ask = partial(_answered, score_reference="perplexity" in named)
    left = job.questions[done:]
    bar = tqdm(left, initial=done, total=len(job.questions), unit="row", disable=not left)
    for question in bar:
        outcome = _tried(ask, _work(job, engine, question), question)
        if outcome.error is None:
            outcome = outcome.model_copy(update={"score": figures.score(named[0], outcome)})
        yield outcome


def _tried(ask: Ask, work: Judged, question: Question) -> Outcome:
    """The answer, or why there is none."""
    try:
        return ask(work, question)
    except (PatchbayError, RuntimeError) as error:  # torch raises the second
        return outcome_of(question, error=str(error) or type(error).__name__)


def _work(job: Job, engine: Engine, question: Question) -> Judged:
    slots: dict[str, SlotValue] = dict(question.slots)
    if question.labels and job.task.labels_slot:
        slots[job.task.labels_slot] = list(question.labels)
    return Judged(
        engine=engine,
        task=job.task,
        index=0,
        step=Step(job.task.name, 1.0, slots, text=question.text),
        content=question.text,
        turn=TurnContext(explain=False, options=TurnOptions(seed=job.selection.seed)),
        judged=job.adapter,
    )


def _answered(work: Judged, question: Question, score_reference: bool) -> Outcome:
    """Ask the engine.

    Raises:
        PatchbayError: there is no answer, or only the beginning of one.
    """
    if work.task.kind == "choose":
        return _chosen(work, question)
    finished = next(event for event in steps.run_step(work) if isinstance(event, StepFinished))
    require_whole(finished.stopped)
    outcome = outcome_of(
        question,
        answer=finished.text,
        tokens=finished.tokens,
        seconds=round(finished.seconds, 4),
        first_token=round(finished.first_token, 4),
    )
    return _with_likelihood(work, outcome) if score_reference else outcome


def _chosen(work: Judged, question: Question) -> Outcome:
    names = work.labels()
    request = ChooseRequest(work.messages(work.content), tuple(names), work.adapter)
    choice = work.engine.choose(request)
    require_whole(choice.usage.stopped)
    logprobs = {names[said]: value for said, value in choice.logprobs.items()}
    return outcome_of(
        question,
        answer=max(logprobs, key=logprobs.__getitem__),
        logprobs=logprobs,
        tokens=choice.usage.tokens,
        seconds=round(choice.usage.seconds, 4),
        first_token=round(choice.usage.first_token, 4),
    )


def _likely(work: Judged, question: Question) -> Outcome:
    return _with_likelihood(work, outcome_of(question))


def _with_likelihood(work: Judged, outcome: Outcome) -> Outcome:
    """The outcome with the likelihood of its reference, scored as the engine scores a label."""
    request = ChooseRequest(work.messages(work.content), (outcome.reference,), work.adapter)
    choice = work.engine.choose(request)
    require_whole(choice.usage.stopped)
    scored = choice.usage.tokens - choice.usage.prompt_tokens
    likelihood = choice.logprobs[outcome.reference]
    return outcome.model_copy(update={"likelihood": likelihood, "reference_tokens": scored})


def require_whole(stopped: str) -> None:
    """Raise where the engine ended a request before its end."""
    if stopped in {"stop", "time"}:
        raise PatchbayError("The engine's time limit ended the answer.")


def outcome_of(question: Question, **values: object) -> Outcome:
    """What was found for a question."""
    return Outcome(
        line=question.line,
        text=question.text,
        reference=question.reference,
        slots=question.slots,
        **values,
    )


def _peak_memory() -> float:
    """MiB: of the GPU where one was used, else of this process."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
