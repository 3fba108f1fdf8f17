"""A recipe's data sets: rows to learn, rows to validate on, and batches of both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import SettingsError
from core.statement import Statement
from finetune import augment
from finetune.examples import Example, ExampleEncoder, label_list_batches, own_label_list
from finetune.recipe import DataSource, Recipe
from finetune.usable_rows import usable
from tasks.records import Refusal
from tasks.rows import Row, Table, drawn, exchanged, read_hub, split
from tasks.rows import read as read_file
from tasks.spec import TaskSpec

PROMPT_TOKENS = 32  # what a prompt adds to a row, about
# Batches whose rows are sorted by length together: close lengths, still well mixed.
BUCKET_BATCHES = 16


# The rows of a batch, each with the label list that its prompt shows.
LabelledBatch = list[tuple[Row, Sequence[str]]]


@dataclass
class DataSet:
    """One data set after reading: rows to train and validate on, rows refused, by file.

    Attributes:
        read: rows of its files, used or refused.
        notes: what a person should know of how these were read.
        findings: what `finetune.checks` found in them, each sentence by sentence.
    """

    source: DataSource
    train: list[Row]
    validation: list[Row]
    refused: dict[str, list[Refusal]] = field(default_factory=dict)
    read: int = 0
    notes: list[Statement] = field(default_factory=list)
    findings: list[list[Statement]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.source.name or Path(self.source.path or str(self.source.hub)).name


def load(recipe: Recipe, task: TaskSpec, encoder: ExampleEncoder) -> list[DataSet]:
    """Read, check and split every data set of the recipe; some may come out empty.

    Raises:
        InputError: a file cannot be used at all.
        SettingsError: the recipe asks for what its task cannot have.
    """
    if recipe.typos and task.kind != "choose":
        raise SettingsError(
            f"typos={recipe.typos:g}: only tasks that choose a label keep their answer when the "
            f"text has slips; {task.name!r} writes. Leave it out."
        )
    return [_load_one(recipe, source, task, encoder) for source in recipe.data]


def _load_one(
    recipe: Recipe, source: DataSource, task: TaskSpec, encoder: ExampleEncoder
) -> DataSet:
    origin, table = _table(recipe, source, source.path, source.split, task)
    table = usable(table, recipe, source, encoder)
    refused, notes = {origin: table.refused}, table.notes
    read = len(table.rows) + len(table.refused)
    rows = drawn(table.rows, source.take, recipe.seed)
    validation: list[Row] = []
    held_out_given = _names_validation(source, recipe, Path(origin).is_file())
    if held_out_given:
        validation_origin, held_out = _table(
            recipe, source, source.validation, source.validation_split, task
        )
        held_out = usable(held_out, recipe, source, encoder)
        refused[validation_origin] = held_out.refused
        notes = [*notes, *held_out.notes]
        read += len(held_out.rows) + len(held_out.refused)
        validation = held_out.rows
    if recipe.folds and recipe.fold is not None:
        rows = random.Random(recipe.seed).sample(rows, len(rows))
        validation = rows[recipe.fold :: recipe.folds]
        rows = [row for i, row in enumerate(rows) if i % recipe.folds != recipe.fold]
    elif not held_out_given:
        rows, validation = split(rows, recipe.validation_share, recipe.seed)
    if source.both_ways:
        rows = [*rows, *_back(rows, source, recipe, task)]
        validation = [*validation, *_back(validation, source, recipe, task)]
    return DataSet(source, rows, validation, refused, read, notes)


def _names_validation(source: DataSource, recipe: Recipe, is_local: bool) -> bool:
    """Whether it has rows to validate on where its own are read from.

    A file that is named for a copy on this machine is not missed where the hub's is read.
    """
    if source.validation and (
        not source.hub or source.place(source.validation, recipe.data_folder).is_file()
    ):
        return True
    return bool(source.validation_split and (source.validation or not is_local))


def _table(
    recipe: Recipe, source: DataSource, path: str | None, split: str | None, task: TaskSpec
) -> tuple[str, Table]:
    """A local file's rows, or those of a hub data set's split where there is no such file.

    Returns:
        the place they come from, and the rows.
    """
    if path:
        file = source.place(path, recipe.data_folder)
        if file.is_file() or not (source.hub and split):
            return str(file), read_file(file, source, task)
    table = read_hub(
        str(source.hub), source.subset, str(split), source, task, revision=source.revision
    )
    return f"{source.hub}:{split}", table


def _back(rows: list[Row], source: DataSource, recipe: Recipe, task: TaskSpec) -> list[Row]:
    """The source's share of the rows for the other direction."""
    part = drawn(rows, round(source.both_ways * len(rows)), recipe.seed)
    return [exchanged(row, task) for row in part]


def stream(
    recipe: Recipe, data_sets: Sequence[DataSet], encoder: ExampleEncoder
) -> Iterator[list[Example]]:
    """Batches without end, epoch after epoch, the same for the same seed."""
    epoch = 0
    while True:
        rng = random.Random(f"{recipe.seed}-{epoch}")
        rows = [augment.typos(data_set.train, recipe.typos, rng) for data_set in data_sets]
        yield from batches(recipe, data_sets, encoder, rows, rng)
        epoch += 1


def validation(
    recipe: Recipe, data_sets: Sequence[DataSet], encoder: ExampleEncoder
) -> list[list[Example]]:
    """The batches the validation loss is taken on: the same at every evaluation."""
    share = max(1, recipe.validation_rows // len(data_sets))
    rows = [drawn(data_set.validation, share, recipe.seed) for data_set in data_sets]
    rng = random.Random(recipe.seed)
    return list(batches(recipe, data_sets, encoder, rows, rng))


def batches(
    recipe: Recipe,
    data_sets: Sequence[DataSet],
    encoder: ExampleEncoder,
    rows: Sequence[Sequence[Row]],
    rng: random.Random,
) -> Iterator[list[Example]]:
    """One pass over `rows` (one list for each data set) in batches of like lengths, mixed up."""
    weight_of = _weights(recipe, rows)
    for batch in _batched_rows(recipe, data_sets, encoder, rows, rng):
        yield [encoder.example(row, labels, weight_of(row)) for row, labels in batch]


def _batched_rows(
    recipe: Recipe,
    data_sets: Sequence[DataSet],
    encoder: ExampleEncoder,
    rows: Sequence[Sequence[Row]],
    rng: random.Random,
) -> list[LabelledBatch]:
    """The batches as rows, each with the label list that its prompt shows."""
    batched: list[LabelledBatch] = []
    plain: list[Row] = []
    own: list[Row] = []
    for data_set, rows_of_one in zip(data_sets, rows, strict=True):
        if data_set.source.labels == "sampled":
            for batch, own_list in label_list_batches(rows_of_one, recipe.batch, recipe.menu, rng):
                batched.append([(row, own_list) for row in batch])
        elif data_set.source.labels == "row":
            own += rows_of_one
        else:
            plain += rows_of_one
    labels = [both.en for both in encoder.task.labels.values()]
    for batch in _bucketed(plain, recipe, rng):
        batched.append([(row, labels) for row in batch])
    for batch in _bucketed(own, recipe, rng):
        batched.append([own_label_list(row, recipe.menu, rng) for row in batch])
    rng.shuffle(batched)
    return batched


def _bucketed(rows: list[Row], recipe: Recipe, rng: random.Random) -> Iterator[list[Row]]:
    """Batches of rows of like lengths, as large as `batch` and `batch_tokens` let them be."""
    size = recipe.batch
    shuffled = rng.sample(rows, len(rows))
    by_prompt: dict[str, list[Row]] = {}
    for row in shuffled:  # rows with the same slots share the beginning of their prompts
        by_prompt.setdefault(str(sorted(row.slots.items())), []).append(row)
    for group in by_prompt.values():
        for start in range(0, len(group), size * BUCKET_BATCHES):
            pool = sorted(group[start : start + size * BUCKET_BATCHES], key=lambda row: row.tokens)
            batch: list[Row] = []
            for row in pool:  # the one that comes is the longest so far
                tokens = (len(batch) + 1) * (row.tokens + PROMPT_TOKENS)
                if batch and (len(batch) == recipe.batch or tokens > recipe.batch_tokens):
                    yield batch
                    batch = []
                batch.append(row)
            yield batch


def _weights(recipe: Recipe, rows: Sequence[Sequence[Row]]) -> Callable[[Row], float]:
    given = recipe.class_weights
    if given == "none":
        return lambda row: 1.0
    if given == "balanced":
        counts = Counter(row.answer for own in rows for row in own)
        mean = sum(counts.values()) / len(counts)
        return lambda row: mean / counts.get(row.answer, mean)
    return lambda row: given.get(row.answer, 1.0)


def count_batches(recipe: Recipe, data_sets: Sequence[DataSet], encoder: ExampleEncoder) -> int:
    """Batches in the first epoch."""
    rng = random.Random(f"{recipe.seed}-0")
    return sum(
        1
        for _ in _batched_rows(
            recipe, data_sets, encoder, [data_set.train for data_set in data_sets], rng
        )
    )
