"""Rows through the app's own engine; a run that is killed goes on where it stopped."""

from __future__ import annotations

import resource
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agent import choosing, steps
from agent.events import StepFinished
from core.errors import InputError, PatchbayError
from engine.interface import ChooseRequest, Engine
from evaluation import figures, record
from evaluation.record import Outcome, Run, RunSettings
from evaluation.rows import EvaluationRow
from evaluation.run_plan import JudgedStep, RunPlan

FIGURE_PACKAGES = (
    "numpy", "scipy", "scikit-learn", "sacrebleu", "rouge_score", "torch", "transformers",
)  # fmt: skip

AHEAD = 4  # of each place: rows that wait for the one before them to end
Judge = Callable[[JudgedStep, EvaluationRow], Outcome]


def run(plan: RunPlan, engine: Engine, folder: Path, together: int = 1) -> Run:
    """Judge what is not judged yet and write the record.

    Args:
        together: rows asked at the same time. The answers are the same, the seconds of each longer.

    Raises:
        InputError: the folder holds another run.
        UnknownName, AdapterError: see `RunPlan.settings`.
    """
    settings = plan.settings(engine)
    started = _open(folder, settings)
    record.trim(folder)
    done = record.outcomes(folder)
    _check_order(folder, plan.rows, done)
    with (folder / record.ROWS_FILE).open("a", encoding="utf-8") as file:
        for outcome in _judged(plan, engine, settings.metrics, len(done), together):
            file.write(record.lines([outcome]))
            file.flush()
    finished = summarize(plan, settings, started, record.outcomes(folder), _peak_memory())
    record.write(folder, finished)
    return finished


def log_likelihoods(plan: RunPlan, engine: Engine) -> Iterator[Outcome]:
    """Label scores of each row, or its reference's log-likelihood; nothing is written or kept."""
    judge = _choose if plan.task.kind == "choose" else _score_reference
    return (_outcome_or_error(judge, work, row) for work, row in plan.steps(engine))


def summarize(
    plan: RunPlan,
    settings: RunSettings,
    started: str,
    outcomes: Sequence[Outcome],
    peak_memory_mib: float,
) -> Run:
    """The record of judged rows: the same for the same rows, but for time and memory."""
    good = [outcome for outcome in outcomes if outcome.error is None]
    common: dict[str, Any] = {
        "status": "finished",
        "settings": settings,
        "started": started,
        "finished": _now(),
        "failed": len(outcomes) - len(good),
        "failures": {o.line: o.error for o in outcomes if o.error is not None},
        "score_name": figures.score_name(settings.metrics[0]),
        "versions": {name: version(name) for name in FIGURE_PACKAGES},
    }
    if not good:
        return Run(**common)
    primary, seed = settings.metrics[0], settings.seed
    statistics = {name: figures.statistic(name, good, plan.task) for name in settings.metrics}
    return Run(
        **common,
        figures={name: figures.figure(s, seed) for name, s in statistics.items()},
        signatures=figures.signatures(good, settings.metrics, plan.task),
        slices=figures.slices(good, primary, seed, plan.task),
        chosen=figures.choice_report(good) if plan.task.kind == "choose" else None,
        contamination=plan.training.contamination_of(good, statistics[primary], seed)
        if plan.training
        else None,
        cost=figures.cost(good, peak_memory_mib),
    )


def _open(folder: Path, settings: RunSettings) -> str:
    """Begin a run's folder or go on in it.

    Returns:
        when the run was started.
    """
    if (folder / record.RUN_FILE).exists():
        before = record.read(folder)
        if before.settings != settings:
            old, new = before.settings.model_dump(), settings.model_dump()
            changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            other = "; ".join(f"{k} was {old.get(k)!r}, is {new.get(k)!r}" for k in changed)
            raise InputError(
                f"{folder} holds a run with other settings ({other}). Choose another --output."
            )
        return before.started
    if folder.exists() and not (folder.is_dir() and _is_empty(folder)):
        raise InputError(f"{folder} holds something else already. Choose another --output.")
    folder.mkdir(parents=True, exist_ok=True)
    started = _now()
    record.write(folder, Run(status="running", settings=settings, started=started))
    return started


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing; a run that was killed as it began left nothing else."""
    return {file.name for file in folder.iterdir()} <= {record.WRITING}


def _check_order(folder: Path, rows: Sequence[EvaluationRow], done: Sequence[Outcome]) -> None:
    expected = [(row.line, row.text) for row in rows[: len(done)]]
    if [(outcome.line, outcome.text) for outcome in done] != expected:
        raise InputError(f"{folder / record.ROWS_FILE} holds other rows. Choose another --output.")


def _judged(
    plan: RunPlan, engine: Engine, metrics: Sequence[str], done: int, together: int
) -> Iterator[Outcome]:
    judge = partial(_answer, score_reference="perplexity" in metrics)
    total = len(plan.rows)
    left = _outcomes(judge, plan.steps(engine, done), together)
    for work, outcome in tqdm(left, initial=done, total=total, unit="row", disable=done == total):
        more: dict[str, Any] = {}
        if plan.served is not None:
            more["adapter"] = work.adapter or "base"
        if outcome.error is None:
            more["score"] = figures.score(metrics[0], outcome)
        yield outcome.model_copy(update=more)


def _outcomes(
    judge: Judge, left: Iterator[tuple[JudgedStep, EvaluationRow]], together: int
) -> Iterator[tuple[JudgedStep, Outcome]]:
    """The rows' outcomes in the rows' order."""
    if together == 1:
        yield from ((work, _outcome_or_error(judge, work, row)) for work, row in left)
        return
    pool = ThreadPoolExecutor(together)
    asked: deque[tuple[JudgedStep, Future[Outcome]]] = deque()
    try:
        for work, row in left:
            asked.append((work, pool.submit(_outcome_or_error, judge, work, row)))
            if len(asked) > AHEAD * together:
                first, answered = asked.popleft()
                yield first, answered.result()
        while asked:
            first, answered = asked.popleft()
            yield first, answered.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _outcome_or_error(judge: Judge, work: JudgedStep, row: EvaluationRow) -> Outcome:
    """The answer, or why there is none."""
    try:
        return judge(work, row)
    except (PatchbayError, RuntimeError) as error:  # torch raises the second
        return outcome_of(row, error=str(error) or type(error).__name__)


def _answer(work: JudgedStep, row: EvaluationRow, score_reference: bool) -> Outcome:
    """Ask the engine.

    Raises:
        PatchbayError: there is no answer, or only the beginning of one.
    """
    if work.task.kind == "choose":
        return _choose(work, row)
    finished = next(event for event in steps.run_step(work) if isinstance(event, StepFinished))
    require_whole(finished.stopped)
    outcome = outcome_of(
        row,
        answer=finished.text,
        tokens=finished.tokens,
        seconds=round(finished.seconds, 4),
        first_token=round(finished.first_token, 4),
    )
    return _with_log_likelihood(work, outcome) if score_reference else outcome


def _choose(work: JudgedStep, row: EvaluationRow) -> Outcome:
    choice = choosing.score_labels(work, work.content)
    require_whole(choice.usage.stopped)
    logprobs = choice.logprobs
    return outcome_of(
        row,
        answer=max(logprobs, key=logprobs.__getitem__),
        logprobs=logprobs,
        tokens=choice.usage.tokens,
        seconds=round(choice.usage.seconds, 4),
        first_token=round(choice.usage.first_token, 4),
    )


def _score_reference(work: JudgedStep, row: EvaluationRow) -> Outcome:
    return _with_log_likelihood(work, outcome_of(row))


def _with_log_likelihood(work: JudgedStep, outcome: Outcome) -> Outcome:
    """The outcome with the log-likelihood of its reference, scored as the engine scores a label."""
    request = ChooseRequest(work.messages(work.content), (outcome.reference,), work.adapter)
    choice = work.engine.choose(request)
    require_whole(choice.usage.stopped)
    scored = choice.usage.tokens - choice.usage.prompt_tokens
    log_likelihood = choice.logprobs[outcome.reference]
    return outcome.model_copy(update={"log_likelihood": log_likelihood, "reference_tokens": scored})


def require_whole(stopped: str) -> None:
    """Raise where the engine ended a request before its end."""
    if stopped in {"stop", "time"}:
        raise PatchbayError("The engine's time limit ended the answer.")


def outcome_of(row: EvaluationRow, **values: object) -> Outcome:
    """What came of a row."""
    return Outcome(
        line=row.line,
        text=row.text,
        reference=row.reference,
        slots=row.slots,
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
