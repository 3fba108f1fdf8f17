"""Reviewed rows for one training, and those to judge it on, as files that both read as they are.

`training.jsonl` is for `python -m finetune run RECIPE.yaml`, `held-out.jsonl` for
`python -m evaluation run --data`; a selection says what to write beside each.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks import languages
from tasks.row_languages import language_slots
from tasks.rows import duplicate_key
from tasks.spec import TaskSpec
from tasks.values import problem_of
from workshop.review_row import ReviewRow, Why
from workshop.rows import ReviewStore

TRAINING, HELD_OUT = "training.jsonl", "held-out.jsonl"
Unfit = Literal["consent", "evaluation", "label", "broken", "held_out_too", "filtered"]


class RowFilter(BaseModel):
    """Which of a task's reviewed rows are meant; an empty part leaves nothing out.

    Attributes:
        answers: right answers, labels of a task that chooses.
        languages: ISO 639-1 codes of the texts.
        raters: whose rows are left out, beside those who are left out everywhere.
        since: rows that were decided at this time (UTC, ISO 8601) or later.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    why: tuple[Why, ...] = ()
    answers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()
    since: str = ""

    def takes(self, row: ReviewRow) -> bool:
        """Whether the row is meant."""
        return (
            (not self.why or row.why in self.why)
            and (not self.answers or row.right in self.answers)
            and (not self.languages or language_of(row) in self.languages)
            and row.rater not in self.raters
            and row.decided_at >= self.since
        )


@dataclass(frozen=True)
class Selection:
    """Rows to train on, and rows to judge that on. No text is in both.

    Attributes:
        left_out: how many accepted rows are in neither, and why: `consent` was never given, it
            stands in an `evaluation` set, its `label` is not offered, a text of it is `broken`
            (a wrong encoding, half a character), its text is `held_out_too`, or it was `filtered`.
    """

    task: TaskSpec
    training: Sequence[ReviewRow]
    held_out: Sequence[ReviewRow]
    left_out: dict[Unfit, int] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """File column -> role, as a recipe's `columns`; empty where the task's own will do."""
        own = self.task.columns
        rows = [*self.training, *self.held_out]
        slots = {name for row in rows for name in row.slots if name in self.task.slots}
        more = slots - {*own.values(), self.task.labels_slot}
        extra = {name: name for name in sorted(more)} | (
            {"labels": "labels"} if self._lists else {}
        )
        return {**own, **extra} if extra else {}

    def data_source(self) -> dict[str, Any]:
        """The entry of a recipe's `data` that reads `training.jsonl`, beside the recipe."""
        source: dict[str, Any] = {"path": TRAINING, "name": "reviewed rows"}
        if self.columns:
            source["columns"] = self.columns
        return source | ({"labels": "row"} if self._lists else {})

    def evaluation_options(self) -> list[str]:
        """What `python -m evaluation run --data held-out.jsonl` needs beside that."""
        words = [word for pair in self.columns.items() for word in ("--column", "=".join(pair))]
        return words + (["--labels", "row"] if self._lists else [])

    def counts(self) -> dict[str, dict[str, int]]:
        """`label` (of a task that chooses) and `language` -> value -> training rows, most first."""
        counted = {"language": Counter(map(language_of, self.training))}
        if self.task.kind == "choose":
            counted["label"] = Counter(row.right for row in self.training)
        return {name: dict(counter.most_common()) for name, counter in counted.items()}

    def write(self, folder: Path) -> list[Path]:
        """Write both files, each whole or not at all; one without rows is left out.

        Returns:
            the files written.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = []
        for name, rows in ((TRAINING, self.training), (HELD_OUT, self.held_out)):
            if not rows:
                continue
            lines = [json.dumps(self._record(row), ensure_ascii=False) + "\n" for row in rows]
            beside = folder / f".{name}.writing"
            beside.write_text("".join(lines), encoding="utf-8")
            os.replace(beside, folder / name)
            written.append(folder / name)
        return written

    @property
    def _lists(self) -> bool:
        """Whether rows bring label lists of their own."""
        return any(self.task.own_labels(row.slots) for row in [*self.training, *self.held_out])

    def _record(self, row: ReviewRow) -> dict[str, Any]:
        column_of = {role: column for column, role in (self.columns or self.task.columns).items()}
        slots = {name: value for name, value in row.slots.items() if isinstance(value, str)}
        values = slots | _languages(self.task, row) | {"text": row.text, "answer": row.right}
        record: dict[str, Any] = {
            column_of.get(role, role): value
            for role, value in values.items()
            if role in {"text", "answer", *self.task.slots}
        }
        if self._lists and not (own := self.task.own_labels(row.slots)):
            names = self.task.labels  # as prompts say them
            record |= {column_of["answer"]: names[row.right].en}
            own = [both.en for both in names.values()]
        return {"id": row.id, **record} | ({"labels": own} if self._lists else {})


def select(store: ReviewStore, task: TaskSpec, chosen: RowFilter | None = None) -> Selection:
    """The accepted rows of a task, those first that were decided first.

    The filter is for rows to train on; all held-out rows are judged on.
    """
    chosen = chosen or RowFilter()
    rows = store.done(task.name)[::-1]
    in_evaluation = {
        id for id, marks in store.marks([r.id for r in rows]).items() if "evaluation" in marks
    }
    held_out = [row for row in rows if row.held_out and not _unfit(row, task, ())]
    held_texts = {duplicate_key(row.text) for row in held_out}
    left_out: Counter[Unfit] = Counter()
    training = []
    for row in rows:
        why = _unfit(row, task, in_evaluation if not row.held_out else ())
        if why is None and not row.held_out:
            if duplicate_key(row.text) in held_texts:
                why = "held_out_too"
            elif not chosen.takes(row):
                why = "filtered"
            else:
                training.append(row)
        if why:
            left_out[why] += 1
    return Selection(task, training, held_out, dict(left_out))


def language_of(row: ReviewRow) -> str:
    """ISO 639-1 code of a row's text, as far as it can be told."""
    return languages.detect(row.text)


def _unfit(row: ReviewRow, task: TaskSpec, in_evaluation: Collection[str]) -> Unfit | None:
    if not row.consent:
        return "consent"
    if row.id in in_evaluation:
        return "evaluation"
    if task.kind == "choose" and row.right not in row.choices(task):
        return "label"
    if problem_of(row.text) or problem_of(row.right):
        return "broken"
    return None


def _languages(task: TaskSpec, row: ReviewRow) -> dict[str, str]:
    """Language slots that the row does not say, by its text and its answer."""
    sides = {task.source_slot: row.text, task.target_slot: row.right}
    return {
        name: languages.detect(sides[name])
        for name in language_slots(task)
        if name in sides and not row.slots.get(name)
    }
