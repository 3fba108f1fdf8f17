"""The rows that a task can learn from: labels and languages as its prompt says them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from core.statement import Statement, statement
from finetune.examples import ExampleEncoder
from finetune.recipe import DataSource, Recipe
from tasks import languages
from tasks.label_names import label_of, offer, task_labels
from tasks.records import Refusal
from tasks.row_languages import guessed, language_slots
from tasks.rows import Row, Table
from tasks.spec import TaskSpec

RENAMED_SHOWN = 8


def usable(table: Table, recipe: Recipe, source: DataSource, encoder: ExampleEncoder) -> Table:
    """The rows with labels and languages as prompts say them; unknown and too long ones refused."""
    task, notes = encoder.task, list(table.notes)
    rows, refused = table.rows, list(table.refused)
    if task.kind == "choose" and source.labels == "task":
        rows = _with_task_labels(rows, refused, notes, task)
    elif source.labels == "row":
        rows = _with_own_labels(rows, refused)
    rows = _with_languages(rows, refused, task)
    short = []
    for row in encoder.counted(rows):
        if row.tokens <= recipe.max_tokens:
            short.append(row)
            continue
        reason = statement(
            "row.long",
            "{tokens} tokens, more than max_tokens={most}",
            tokens=f"{row.tokens:,}",
            most=recipe.max_tokens,
        )
        fix = statement("row.long.fix", "Shorten it or raise max_tokens.")
        refused.append(Refusal(row.line, "text", reason, fix, row.text))
    return Table(short, sorted(refused, key=lambda refusal: refusal.line), notes)


def _with_task_labels(
    rows: Sequence[Row], refused: list[Refusal], notes: list[Statement], task: TaskSpec
) -> list[Row]:
    names = task_labels(task)
    meant = {answer: label_of(answer, names) for answer in {row.answer for row in rows}}
    fix = offer(task, [answer for answer, label in meant.items() if label is None])
    known = []
    for row in rows:
        if label := meant[row.answer]:
            known.append(replace(row, answer=task.labels[label].en))
        else:
            reason = statement(
                "row.no_label",
                "{answer} is no label of {task}",
                answer=repr(row.answer),
                task=task.name,
            )
            refused.append(Refusal(row.line, "answer", reason, fix, row.text))
    counts = Counter(row.answer for row in rows)
    if renamed := [
        f"{answer!r} as {label} ({counts[answer]:,})"
        for answer, label in meant.items()
        if label and answer not in {label, task.labels[label].en}
    ]:
        more = ", …" if len(renamed) > RENAMED_SHOWN else ""
        shown = ", ".join(sorted(renamed)[:RENAMED_SHOWN]) + more
        notes.append(statement("file.labels", "labels were read: {labels}", labels=shown))
    return known


def _with_own_labels(rows: Sequence[Row], refused: list[Refusal]) -> list[Row]:
    """Rows whose answer is in the list that they bring."""
    known = []
    for row in rows:
        if row.answer in row.labels:
            known.append(row)
        else:
            reason = statement(
                "row.not_among", "{answer} is not among the row's labels", answer=repr(row.answer)
            )
            fix = statement("row.not_among.fix", "Add it to the row's list, or mend the row.")
            refused.append(Refusal(row.line, "labels", reason, fix, row.text))
    return known


def _with_languages(rows: list[Row], refused: list[Refusal], task: TaskSpec) -> list[Row]:
    """The rows with ISO 639-1 codes in their language slots."""
    slots = language_slots(task)
    if not slots:
        return rows
    guesses: dict[str, str] = {}
    known = []
    for row in rows:
        codes = {name: languages.parse(row.slots.get(name, "")) for name in slots}
        unknown = next((name for name, code in codes.items() if code is None), None)
        if unknown is None:
            known.append(replace(row, slots={**row.slots, **{k: str(v) for k, v in codes.items()}}))
            continue
        guesses = guesses or guessed(task, rows)
        given = row.slots.get(unknown)
        reason = statement("row.no_language", "the row does not say the language")
        if given:
            reason = statement("row.language", "{given} is no language", given=repr(given))
        filled = ", ".join(f"{name}: {guesses.get(name, '...')}" for name in sorted(slots))
        fix = statement(
            "row.language.fix",
            "Give ISO 639-1 codes in a column, or for all rows beside the file's path in the "
            "recipe: `fills: {fills}`.",
            fills=f"{{{filled}}}",
        )
        refused.append(Refusal(row.line, unknown, reason, fix, row.text))
    return known
