"""What an adapter that chooses has to beat: TF-IDF with logistic regression on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sklearn.pipeline import Pipeline

from adapter_store.discovery import find_adapter
from core.statement import Statement, in_english, quoted, statement
from evaluation import compare, figures, record
from evaluation.intervals import mean
from evaluation.record import Baseline, BaselineComparison, Figure, Outcome, Run, Verdict
from evaluation.training_rows import NoTrainingRows, TrainingRows, training_rows
from tasks.spec import TaskSpec, find_task, load_tasks
from tasks.text_classifier import classifier

NAME = "TF-IDF with logistic regression"
VERDICTS: dict[Verdict, Statement] = {
    "better": statement("baseline.better", "The adapter is better."),
    "worse": statement("baseline.worse", "The adapter is worse."),
    "no difference shown": statement("baseline.no_difference", "No difference is shown."),
}


def add(folder: Path, data_folder: Path) -> Run:
    """Train the baseline of a finished run's adapter and put it into the run's folder.

    The answers go to `baseline.jsonl`, a line a row as in `rows.jsonl`, and the figures to
    `run.json`. A run that has no answer to choose, or no adapter of its own, stays as it is.

    Args:
        folder: of the run.
        data_folder: where the paths in the adapter's recipe begin.

    Returns:
        the run with its baseline; one that could not be trained says why.

    Raises:
        InputError: the folder holds no finished run.
        UnknownName: the task or the adapter is not there.
    """
    run = record.read(folder)
    adapter = run.settings.adapter
    if run.chosen is None or adapter is None:
        return run
    task = find_task(load_tasks(), run.settings.task_name)
    judged = [outcome for outcome in record.outcomes(folder) if outcome.error is None]
    try:
        baseline, answers = _measured(run, task, find_adapter(adapter), data_folder, judged)
        (folder / record.BASELINE_FILE).write_text(record.lines(answers), encoding="utf-8")
    except NoTrainingRows as why:
        baseline = Baseline(status=why.status, reason=str(why), said=[why.said])
        (folder / record.BASELINE_FILE).unlink(missing_ok=True)
    run = run.model_copy(update={"baseline": baseline})
    record.write(folder, run)
    return run


def _measured(
    run: Run, task: TaskSpec, adapter: Path, data_folder: Path, judged: list[Outcome]
) -> tuple[Baseline, list[Outcome]]:
    """The baseline's figures and its answers.

    Raises:
        NoTrainingRows: there are none, or too few labels among them to choose from.
    """
    rows, model = fitted(run, task, adapter, data_folder)
    answers = answers_of(model, judged)
    baseline = Baseline(
        status="measured",
        training_rows=len(rows.texts),
        unseen=[label for label in _offered(run) if label not in model.classes_],
        left_out=[answer.line for answer in answers if answer.error is not None],
        notes=[note.english for note in rows.notes],
        said=rows.notes,
        compared=_compared(answers, judged, run.settings.seed),
    )
    return baseline, answers


def fitted(
    run: Run, task: TaskSpec, adapter: Path, data_folder: Path
) -> tuple[TrainingRows, Pipeline]:
    """The baseline of a run, trained, and what it was trained on; the same for the same rows.

    Args:
        adapter: folder of the run's adapter.
        data_folder: where the paths in its recipe begin.

    Raises:
        NoTrainingRows: there are none, or too few labels among them to choose from.
    """
    offered = _offered(run)
    rows = training_rows(adapter, task, data_folder, offered)
    known = {*rows.labels}
    if len(known) < 2:
        raise NoTrainingRows(
            "not applicable",
            statement(
                "training.few_labels",
                "Of the labels offered ({offered}) the training rows have {known}: {baseline} "
                "cannot choose among labels it never saw.",
                offered=", ".join(offered),
                known=", ".join(known) or "none",
                baseline=NAME,
            ),
        )
    return rows, classifier().fit(rows.texts, rows.labels)


def _offered(run: Run) -> list[str]:
    """Every label that any row of a run offered."""
    return sorted(run.chosen.labels) if run.chosen else []


def answers_of(model: Pipeline, judged: Sequence[Outcome]) -> list[Outcome]:
    """The likeliest of each row's own labels; an error where it knows none of them."""
    scores = model.predict_log_proba([outcome.text for outcome in judged])
    return [
        _answer(outcome, dict(zip(model.classes_, map(float, row), strict=True)))
        for outcome, row in zip(judged, scores, strict=True)
    ]


def _answer(outcome: Outcome, scores: dict[str, float]) -> Outcome:
    offered = {label: scores[label] for label in outcome.logprobs if label in scores}
    return Outcome(
        line=outcome.line,
        text=outcome.text,
        reference=outcome.reference,
        answer=max(offered, key=offered.__getitem__, default=""),
        logprobs=offered,
        error=None if offered else "The baseline knows none of the labels offered.",
    )


def _compared(
    answers: list[Outcome], judged: list[Outcome], seed: int
) -> BaselineComparison | None:
    """Accuracy of both over the rows that both answered; nothing where there is no such row."""
    both = compare.answered_by_both(answers, judged)
    if not both[0]:
        return None
    ours, theirs = (
        mean("accuracy", [float(row.answer == row.reference) for row in rows]) for rows in both
    )
    found = compare.compare_statistics(ours, theirs, *both, seed)
    of = found.difference
    return BaselineComparison(
        baseline=figures.figure(ours, seed),
        adapter=figures.figure(theirs, seed),
        difference=Figure(
            value=round(of.value, 6), low=round(of.low, 6), high=round(of.high, 6), rows=of.rows
        ),
        p=of.p,
        verdict=found.verdict,
    )


def as_sentence(found: Baseline) -> str:
    """What came of the baseline, for a person."""
    return in_english(sentences(found))


def sentences(found: Baseline) -> list[Statement]:
    """The same, sentence by sentence."""
    one = found.compared
    if one is None:
        return [statement("baseline.none", "No baseline."), *_why_none(found)]
    figures = statement(
        "baseline.figures",
        "{baseline} on {training} of the adapter's training rows: accuracy {of_it}; the adapter "
        "{of_ours} on the same {rows} rows, difference {difference}, p {p} (in "
        "brackets 95% intervals).",
        baseline=NAME,
        training=f"{found.training_rows:,}",
        of_it=_spanned(one.baseline),
        of_ours=_spanned(one.adapter),
        rows=f"{one.adapter.rows:,}",
        difference=_spanned(one.difference, "+"),
        p=f"{one.p:.2g}",
    )
    return [figures, VERDICTS[one.verdict], *_unlike(found)]


def _why_none(found: Baseline) -> Sequence[Statement]:
    if found.reason:
        return found.said or [quoted(found.reason)]
    return [statement("baseline.no_row", "It knows none of the labels of any row.")]


def _unlike(found: Baseline) -> Iterator[Statement]:
    """What keeps the two from being alike."""
    if found.left_out:
        yield statement(
            "baseline.left_out",
            "{rows} rows are left out: it knows none of their labels.",
            rows=f"{len(found.left_out):,}",
        )
    if found.unseen:
        yield statement(
            "baseline.unseen", "No training row has {labels}.", labels=", ".join(found.unseen)
        )
    yield from found.said or map(quoted, found.notes)


def _spanned(figure: Figure, sign: str = "") -> str:
    """A figure with its interval."""
    return f"{figure.value:{sign}.3f} [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"
