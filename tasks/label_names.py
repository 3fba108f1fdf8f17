"""What data files call labels, against what the tasks call them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping

import regex

from core.statement import Statement, statement
from tasks.spec import TaskSpec

INVISIBLE = regex.compile(r"\p{Cf}")
WHOLE = regex.compile(r"^(-?\d+)\.0+$")  # a whole number, as spreadsheets write some


def folded(label: str) -> str:
    """A label without what the eye passes over: case, width, invisible characters, spaces."""
    plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", label))
    return " ".join(plain.casefold().split())


def task_labels(task: TaskSpec) -> dict[str, str]:
    """What a file may call a label of the task, in English, Chinese or by its name -> its name."""
    return {text: n for n, both in task.labels.items() for text in (both.zh, both.en, n)}


def label_of(answer: str, names: Mapping[str, str]) -> str | None:
    """The label that an answer names, exactly or but for what the eye passes over; else None."""
    if answer in names:
        return names[answer]
    meant = {label for name, label in names.items() if folded(name) == folded(answer)}
    return meant.pop() if len(meant) == 1 else None


def look_alikes(labels: Iterable[str]) -> list[list[str]]:
    """Groups of different labels that look the same."""
    groups: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        groups.setdefault(folded(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def coding(task: TaskSpec, unknown: Collection[str]) -> dict[str, str] | None:
    """The first of the task's codings that knows all these answers, as far as it is needed."""
    for known in task.codings:
        meant = {answer: label_of(WHOLE.sub(r"\1", answer), known) for answer in unknown}
        if meant and all(meant.values()):
            return {answer: str(label) for answer, label in meant.items()}
    return None


def offer(task: TaskSpec, unknown: Collection[str]) -> Statement:
    """What to write into a recipe where answers of a file are no labels of the task."""
    meant = coding(task, unknown)
    shown = sorted(unknown)[:10]
    pairs = ", ".join(f"{_quoted(answer)}: {meant[answer] if meant else '...'}" for answer in shown)
    listed = f"{{{pairs}}}"
    if meant:
        return statement(
            "row.meant",
            "If it means that, map it beside the file's path in the recipe (`answers: {pairs}`) or "
            "on the command line ('data.0.answers={pairs}').",
            pairs=listed,
        )
    return statement(
        "row.offered",
        "Use one of {labels}, or map it beside the file's path in the recipe (`answers: {pairs}`) "
        "or on the command line ('data.0.answers={pairs}').",
        labels=", ".join(task.labels),
        pairs=listed,
    )


def _quoted(answer: str) -> str:
    """In quotes, which YAML wants around numbers and words like no."""
    return '"' + answer.replace("\\", "\\\\").replace('"', '\\"') + '"'
