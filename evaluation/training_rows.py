"""The rows that an adapter was trained on, read again from the files that its record names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from adapter_store.run_record import DataSetRecord
from core import fingerprint
from core.errors import InputError, PatchbayError
from core.paths import REPOSITORY
from core.statement import Statement, quoted, statement
from evaluation import contamination
from tasks.label_names import label_of, task_labels
from tasks.rows import Layout, Row, drawn, read, split
from tasks.spec import TaskSpec

SHIPPED = REPOSITORY / "finetune"  # rows of our own stand in `rows/`


class NoTrainingRows(PatchbayError):
    """There are no rows to train a baseline on; the message says why.

    Attributes:
        status: whether there can be none, or they could not be read here.
        said: the message, with its parts.
    """

    def __init__(self, status: Literal["not applicable", "not readable"], said: Statement) -> None:
        super().__init__(said.english)
        self.status, self.said = status, said


@dataclass
class TrainingRows:
    """What an adapter was trained on, as far as an evaluation's labels go.

    Attributes:
        texts, labels: one of each for every row.
        notes: where these may not be the very rows.
    """

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    notes: list[Statement] = field(default_factory=list)


def training_rows(
    adapter: Path,
    task: TaskSpec,
    data_folder: Path,
    offered: Sequence[str],
) -> TrainingRows:
    """The rows of an adapter's training whose label is offered, drawn as the training drew them.

    Those of an adapter that it was started from are left out where they are not here, with a note.

    Args:
        adapter: its folder, with the run record (hashes, rows) and the recipe (files, columns).
        offered: labels of the evaluation. The task's own may have their other names in the files.

    Raises:
        NoTrainingRows: the record names no rows, or they cannot be read here.
    """
    names = {**task_labels(task), **{label: label for label in offered}}
    recipe, found = contamination.recipe_or_empty(adapter), TrainingRows()
    own, absent = len(contamination.run_record_or_empty(adapter).data), list[DataSetRecord]()
    for number, (data_set, source) in enumerate(_sources(adapter, recipe)):
        try:
            rows = _rows(data_set, source, recipe, task, data_folder)
        except NoTrainingRows:
            if number < own:
                raise
            absent.append(data_set)
            continue
        if len(rows) != data_set.train_rows or (data_set.refused and source.get("take")):
            found.notes.append(
                statement(
                    "training.other_rows",
                    "Of {data} it read {rows} rows, the adapter's training {trained}: that refused "
                    "{refused}, the baseline refuses none for its length.",
                    data=data_set.name,
                    rows=f"{len(rows):,}",
                    trained=f"{data_set.train_rows:,}",
                    refused=f"{data_set.refused:,}",
                )
            )
        for row in rows:
            label = label_of(row.answer, names) or row.answer
            if label in offered:
                found.texts.append(row.text)
                found.labels.append(label)
    if absent:
        found.notes.append(
            statement(
                "training.absent",
                "{rows} rows of what it was started from ({data}) are not here: the baseline "
                "learns without them.",
                rows=f"{sum(one.train_rows for one in absent):,}",
                data=", ".join(one.name for one in absent),
            )
        )
    return found


def _sources(
    adapter: Path, recipe: Mapping[str, Any]
) -> list[tuple[DataSetRecord, dict[str, Any]]]:
    known = contamination.run_record_or_empty(adapter)
    sources = list(contamination.data_sets(known, recipe))
    if not sources or not all(source.get("path") and one.sha256 for one, source in sources):
        raise NoTrainingRows(
            "not applicable",
            statement(
                "training.unnamed",
                "The run record and the recipe of {adapter} do not name the files of all its "
                "training rows.",
                adapter=adapter.name,
            ),
        )
    return sources


def _rows(
    data_set: DataSetRecord,
    source: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: TaskSpec,
    data_folder: Path,
) -> list[Row]:
    """The rows of one data set, as `finetune` chooses them.

    What the adapter was started from is drawn by this recipe's seed: its own is not recorded.
    """
    file = _file(str(source["path"]), data_set, data_folder)
    try:
        layout = Layout(**{key: source[key] for key in Layout.model_fields if key in source})
        rows = read(file, layout, task).rows
    except (InputError, ValidationError) as error:
        raise NoTrainingRows("not readable", quoted(f"{data_set.name}: {error}")) from error
    if source.get("labels", "task") == "task":
        own = task_labels(task)
        rows = [row for row in rows if label_of(row.answer, own)]
    rows = drawn(rows, source.get("take"), recipe.get("seed", 0))
    if source.get("validation") or not recipe.get("validation_share"):
        return rows
    return split(rows, recipe["validation_share"], recipe.get("seed", 0))[0]


def _file(path: str, data_set: DataSetRecord, data_folder: Path) -> Path:
    """The very file that was trained on.

    Raises:
        NoTrainingRows: it is not there, or another.
    """
    files = [folder / Path(path).expanduser() for folder in (data_folder.expanduser(), SHIPPED)]
    there = [file for file in files if file.is_file()]
    if not there:
        raise NoTrainingRows(
            "not readable",
            statement(
                "training.not_here",
                "The training file {path} is not here. Say with --data-folder where the paths of "
                "the adapter's recipe begin.",
                path=path,
            ),
        )
    if fingerprint.sha256_file(there[0]) not in data_set.sha256.values():
        raise NoTrainingRows(
            "not readable",
            statement(
                "training.other_file",
                "The training file {path} is not the one that the adapter was trained on: its "
                "SHA-256 is not in the run record. Say with --data-folder where that one lies.",
                path=path,
            ),
        )
    return there[0]
