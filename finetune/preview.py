"""The report of `check`: what training would see and cost, nothing trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.statement import Statement, in_english, statement
from finetune import checks, cost, data, model
from finetune.data import DataSet
from finetune.examples import Example, ExampleEncoder
from finetune.recipe import Recipe
from tasks.records import Refusal
from tasks.spec import find_task, load_tasks

SAMPLE_BATCHES = 40  # batches whose sizes stand for all in the estimate
ROWS_SHOWN = 5  # reasons and lines that are printed
WEIGHT_BYTES = {"torch.float32": 4.0, "torch.bfloat16": 2.0}  # bytes of a weight
NF4_WEIGHT_BYTES = 0.55  # bytes of a 4-bit weight with its scales
Line = list[Statement]  # of the report: what stands side by side on it


@dataclass(frozen=True)
class Estimate:
    """What one training takes: steps, seconds, peak bytes; None where a clock decides."""

    steps: int | None
    seconds: float
    memory: float


def report(recipe: Recipe) -> Iterator[str]:
    """The lines of `lines` in English. Raises as it does."""
    yield from map(in_english, lines(recipe))


def lines(recipe: Recipe) -> Iterator[Line]:
    """Read and check every row of the recipe's data; write refused rows beside their files.

    Yields:
        lines for a person, those about the data before any error.

    Raises:
        PatchbayError: recipe, data or base cannot be used at all.
    """
    task = find_task(load_tasks(), recipe.task)
    encoder = model.encoder(model.load_tokenizer(recipe), task)
    data_sets = data.load(recipe, task, encoder)
    checks.look_over(data_sets, encoder)
    yield from described(data_sets, encoder)
    checks.require_rows(recipe, task, data_sets)
    estimate = estimate_cost(recipe, data_sets, encoder)
    yield _estimated(estimate, recipe)


def described(data_sets: Sequence[DataSet], encoder: ExampleEncoder) -> list[Line]:
    """What was read, refused and noticed, line by line; refused rows go beside their files."""
    said = [line for data_set in data_sets for line in _described(data_set, encoder)]
    written = [file for one in data_sets for file in checks.write_refused(one.refused)]
    places = (
        statement("check.refused_rows", "  refused rows are in {file}", file=file)
        for file in written
    )
    return said + [[place] for place in places]


def estimate_cost(
    recipe: Recipe, data_sets: Sequence[DataSet], encoder: ExampleEncoder
) -> Estimate:
    """Time from a short measurement of this machine, memory from the largest batch seen."""
    source, _ = model.base_source(recipe)
    shape = cost.ModelShape.of(source, **cost.source_options(source, recipe.revision))
    sample = _sample(recipe, data_sets, encoder)
    batches = [model.collate(examples, 0, recipe.round_to) for examples in sample]
    count = data.count_batches(recipe, data_sets, encoder)
    steps = recipe.steps or max(1, round(recipe.epochs * count))
    trained = max(1, shape.layers - recipe.lora.from_layer) / shape.layers
    tokens = sum(batch.tokens for batch in batches) / len(batches)
    answers = sum(len(batch.at) for batch in batches) / len(batches)
    pace = cost.seconds(shape, round(tokens), round(answers), trained, cost.speed())
    nf4 = recipe.quantization == "nf4"
    width = NF4_WEIGHT_BYTES if nf4 else WEIGHT_BYTES[str(model.dtype(recipe))]
    largest = max(batches, key=lambda batch: batch.tokens)
    memory = cost.memory(shape, largest, trained, recipe.lora.rank, width)
    if recipe.minutes and not recipe.steps:
        return Estimate(None, 60 * recipe.minutes, memory)
    return Estimate(steps, steps * pace, memory)


def _sample(
    recipe: Recipe, data_sets: Sequence[DataSet], encoder: ExampleEncoder
) -> list[list[Example]]:
    count = min(SAMPLE_BATCHES, data.count_batches(recipe, data_sets, encoder))
    batches = data.stream(recipe, data_sets, encoder)
    return [examples for examples, _ in zip(batches, range(count), strict=False)]


def _described(data_set: DataSet, encoder: ExampleEncoder) -> Iterator[Line]:
    yield [
        statement(
            "check.read",
            "{data}: {train} rows to train on, {validation} to validate on, {refused} refused",
            data=data_set.label,
            train=f"{len(data_set.train):,}",
            validation=f"{len(data_set.validation):,}",
            refused=f"{sum(map(len, data_set.refused.values())):,}",
        )
    ]
    for origin, rows in data_set.refused.items():
        said = statement("check.refused", "  refused: {file},", file=Path(origin).name)
        yield from ([said, *line] for line in _grouped(rows))
    note = statement("check.note", "  note:")
    yield from ([note, said] for said in data_set.notes)
    yield from ([note, *said] for said in data_set.findings)
    if encoder.task.kind == "choose" and data_set.train:
        counts = Counter(row.answer for row in data_set.train).most_common()
        shown = ", ".join(f"{label} {count:,}" for label, count in counts[:12])
        more = ", …" if len(counts) > 12 else ""
        yield [statement("check.labels", "  labels: {labels}", labels=shown + more)]
    lengths = (row.tokens for row in data_set.train)
    if bins := checks.histogram(lengths):
        shown = ", ".join(f"{k}: {v:,}" for k, v in bins.items())
        yield [statement("check.tokens", "  tokens of text and answer: {tokens}", tokens=shown)]


def _grouped(refusals: Sequence[Refusal]) -> Iterator[Line]:
    """Refusals for the same reason on one line."""
    groups: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault(str(replace(refusal, line=0)), []).append(refusal)
    listed = list(groups.values())
    for alike in listed[:ROWS_SHOWN]:
        yield alike[0].said([one.line for one in alike])
    if left := sum(map(len, listed[ROWS_SHOWN:])):
        yield [statement("check.more", "{count} more", count=f"{left:,}")]


def _estimated(estimate: Estimate, recipe: Recipe) -> Line:
    """Steps, time and memory of the training."""
    if estimate.steps:
        length = statement("check.steps", "estimate: {steps} steps,", steps=f"{estimate.steps:,}")
    else:
        length = statement(
            "check.minutes", "estimate: {minutes} minutes,", minutes=f"{recipe.minutes:g}"
        )
    time, unit = _duration(estimate.seconds)
    cost = statement(
        "check.cost",
        "about {time} {unit} on this machine as busy as it is now, {memory} GB of memory",
        time=time,
        unit=unit,
        memory=f"{estimate.memory / 1e9:.1f}",
    )
    return [length, cost]


def _duration(seconds: float) -> tuple[str, str]:
    """A number and its unit."""
    if seconds < 90:
        return f"{seconds:.0f}", "seconds"
    minutes = seconds / 60
    return (f"{minutes:.0f}", "minutes") if minutes < 120 else (f"{minutes / 60:.1f}", "hours")
