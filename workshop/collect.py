"""Rows to review out of what people said of answers, and out of tables that were worked on.

Each row has an id that says where it comes from, so that collecting again adds nothing twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.batch.journal import BatchSettings, Journal, RowResult
from agent.batch.table import TableRow, read_table
from agent.cleaning import clean
from agent.feedback.answered_step import AnsweredStep
from agent.feedback.store import Correction, Feedback, LabelledText, Rating
from core import fingerprint
from core.errors import InputError
from tasks.data_files import FileForm
from tasks.label_names import label_of, task_labels
from tasks.spec import PROBABILITY, TaskSpec
from workshop.review_row import ReviewRow, Why

UNSURE = 0.6  # a label with a lower probability is unsure, where the task has no floor
RANDOM_SHARE = 0.1  # of a table's rows, or of a file's, drawn to be judged on
RATED_SHARE = 0.25  # of rated answers: there are few, and liked and disliked ones are one sample


@dataclass
class Collected:
    """What was found.

    Attributes:
        passed_over: why some of it is no row, in words -> how many.
    """

    rows: list[ReviewRow] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def of_feedback(feedback: Feedback, tasks: Mapping[str, TaskSpec]) -> Collected:
    """Rated answers, routes that were chosen anew, labels that were corrected in tables.

    A share of the rated ones, liked and disliked, is held out: what answered them is right on some
    and wrong on others, as it is.

    Of what was said without consent there is the request alone, to be looked at.

    Raises:
        FeedbackError: the file cannot be read.
    """
    found = Collected()
    for rating in feedback.ratings():
        _of_rating(rating, tasks, found)
    for correction in feedback.corrections():
        _of_correction(correction, tasks, found)
    for labelled in feedback.labelled():
        if labelled.task in tasks:
            found.rows.append(_of_label(labelled))
        else:
            found.passed_over["the task is not there any more"] += 1
    return found


def of_table(
    file: Path,
    journal: Path,
    task: TaskSpec,
    *,
    form: FileForm | None = None,
    consent: bool = False,
    share: float = RANDOM_SHARE,
) -> Collected:
    """Unsure rows of a table that `python -m agent batch` has worked on, and a random share.

    Args:
        journal: of that work, `OUTPUT.journal`.
        task: that the table was worked on with.
        consent: whoever the texts are from agrees that they are used for training.
        share: of the rows, drawn by their ids: the same ones whenever it is collected.

    Raises:
        InputError: the table is not the one that was worked on, or not with that task alone.
    """
    kept = Journal(journal)
    settings = kept.read()
    if settings is None:
        raise InputError(f"{journal} does not exist. `python -m agent batch` writes it.")
    table = read_table(file, form or FileForm(**settings.form, sheet=settings.sheet))
    if table.sha256 != settings.sha256:
        raise InputError(f"{file} is not the table of {journal}, or it has changed since.")
    _require_alone(task, settings, journal)
    found = Collected()
    for line in table.rows:
        result = kept.results.get(line.line)
        if result is None or result.error:
            found.passed_over["there is no answer"] += 1
            continue
        id = f"table:{settings.sha256[:12]}:{settings.column}:{task.name}:{line.line}"
        held_out = is_drawn(id, share)
        if not (held_out or _is_unsure(result, task)):
            found.passed_over["the answer is sure"] += 1
            continue
        row = _of_line(id, line, result, task, settings)
        why: Why = "random" if held_out else "unsure"
        more = {"why": why, "held_out": held_out, "consent": consent}
        found.rows.append(row.model_copy(update=more))
    return found


def _require_alone(task: TaskSpec, settings: BatchSettings, journal: Path) -> None:
    """Raises InputError: the table was worked on with several steps, or with another task."""
    done = [step.task for step in settings.assignment.steps]
    if len(done) > 1:
        raise InputError(
            f"{journal} did several steps, and what the last one worked on is not kept. Collect "
            "from a table that one step was done with."
        )
    if done != [task.name]:
        raise InputError(f"{journal} is of the task {done[0]!r}, not of {task.name!r}.")


def _of_line(
    id: str, line: TableRow, result: RowResult, task: TaskSpec, settings: BatchSettings
) -> ReviewRow:
    """A line of a table, as an unsure one."""
    text = clean(line.text(settings.column))
    return ReviewRow(
        id=id,
        task=task.name,
        text=text,
        slots=settings.assignment.plan(text, {task.name: task}).steps[0].slots,
        answer=result.text,
        labels=result.labels,
        adapter="" if result.adapter == "base" else result.adapter,
        fingerprint=result.fingerprint,
        why="unsure",
        suggested=result.text,
    )


def is_drawn(id: str, share: float) -> bool:
    """Whether a row is of the random share that is held out: by its id, so always the same."""
    return random.Random(f"held out {id}").random() < share


def _of_rating(rating: Rating, tasks: Mapping[str, TaskSpec], found: Collected) -> None:
    last, liked = len(rating.tasks) - 1, rating.rating == 1
    if not rating.consent and not liked:
        _unagreed("rating", rating, rating.tasks, "disliked", tasks, found)
    for index, step, task in _usable(rating.steps, tasks, found):
        better = rating.better if index == last else ""
        if better and task.kind == "choose":
            better = label_of(better, _names(task, step)) or ""
        others = [label for label in step.labels if label != step.answer]
        why: Why = "liked" if liked else "corrected" if better else "disliked"
        suggested = step.answer if liked else better or (others[0] if others else "")
        id = f"rating:{rating.turn}:{index}"
        row = _row(id, rating, step, why, suggested)
        found.rows.append(row.model_copy(update={"held_out": is_drawn(id, RATED_SHARE)}))


def _of_correction(correction: Correction, tasks: Mapping[str, TaskSpec], found: Collected) -> None:
    if not correction.consent:
        _unagreed("route", correction, correction.tasks, "rerouted", tasks, found)
    for index, step, _ in _usable(correction.steps, tasks, found):
        id = f"route:{correction.turn}:{index}"
        found.rows.append(_row(id, correction, step, "rerouted", step.answer))


def _of_label(labelled: LabelledText) -> ReviewRow:
    """Who corrects a label in a table says there that it is for training."""
    return ReviewRow(
        id=f"label:{labelled.turn}",
        task=labelled.task,
        text=labelled.text,
        slots=dict(labelled.slots),
        answer=labelled.instead_of,
        fingerprint=labelled.fingerprint,
        why="corrected",
        suggested=labelled.label,
        rater=f"table {fingerprint.of_value(labelled.turn.rpartition('-')[0])}",
        consent=True,
        at=labelled.at,
    )


def _usable(
    steps: Sequence[AnsweredStep], tasks: Mapping[str, TaskSpec], found: Collected
) -> Iterator[tuple[int, AnsweredStep, TaskSpec]]:
    for index, step in enumerate(steps):
        if step.task not in tasks:
            found.passed_over["the task is not there any more"] += 1
        elif not step.content:
            found.passed_over["what the step worked on is not known"] += 1
        elif not step.alone:
            found.passed_over["it was answered out of the conversation before"] += 1
        else:
            yield index, step, tasks[step.task]


def _row(
    id: str, said: Rating | Correction, step: AnsweredStep, why: Why, suggested: str
) -> ReviewRow:
    return ReviewRow(
        id=id,
        task=step.task,
        text=step.content,
        slots=step.slots,
        answer=step.answer,
        labels=step.labels,
        adapter=step.adapter,
        fingerprint=fingerprint.of_value(step.fingerprints),
        why=why,
        suggested=suggested,
        rater=said.rater,
        consent=True,
        at=said.at,
    )


def _unagreed(
    kind: str,
    said: Rating | Correction,
    planned: Sequence[str],
    why: Why,
    tasks: Mapping[str, TaskSpec],
    found: Collected,
) -> None:
    """The request as a row of its last task, under the id that it has with consent."""
    if not planned or planned[-1] not in tasks:
        found.passed_over["the task is not there any more"] += 1
        return
    answer, better = (said.answer, said.better) if isinstance(said, Rating) else ("", "")
    found.rows.append(
        ReviewRow(
            id=f"{kind}:{said.turn}:{len(planned) - 1}",
            task=planned[-1],
            text=said.request,
            answer=answer,
            fingerprint=fingerprint.of_value(dict(said.fingerprints)) if answer else "",
            why=why,
            suggested=better,
            rater=said.rater,
            at=said.at,
        )
    )


def _names(task: TaskSpec, step: AnsweredStep) -> Mapping[str, str]:
    own = task.own_labels(step.slots)
    return {label: label for label in own} if own else task_labels(task)


def _is_unsure(result: RowResult, task: TaskSpec) -> bool:
    """By the probability of the label; of a text, by what was noted against it."""
    if result.labels:
        return max(result.labels.values()) < task.floors.get(PROBABILITY, UNSURE)
    return bool(result.notes)
