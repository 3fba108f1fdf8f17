"""Likes, dislikes and route corrections, kept in one SQLite file on this computer.

A correction is a labelled routing example: the request, the tasks the person chose, and what the
router had chosen. Nothing is kept unless someone presses a button for it, and of an answer's steps
only where they have agreed that it may be used for training.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.feedback.answered_step import AnsweredStep
from core import paths
from core.errors import PatchbayError
from tasks.spec import SlotValue

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ratings (
    turn TEXT PRIMARY KEY, at TEXT NOT NULL, rating INTEGER NOT NULL CHECK (rating IN (-1, 1)),
    request TEXT NOT NULL, answer TEXT NOT NULL, tasks TEXT NOT NULL, fingerprints TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS corrections (
    turn TEXT PRIMARY KEY, at TEXT NOT NULL, request TEXT NOT NULL, task TEXT NOT NULL,
    instead_of TEXT NOT NULL, confidence REAL NOT NULL, follows TEXT NOT NULL,
    fingerprints TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS labels (
    turn TEXT PRIMARY KEY, at TEXT NOT NULL, task TEXT NOT NULL, text TEXT NOT NULL,
    label TEXT NOT NULL, instead_of TEXT NOT NULL, fingerprint TEXT NOT NULL
);
"""
# Columns that the tables of an earlier version lack, and what holds for its rows.
_CONSENTED: dict[str, str | int] = {"steps": "[]", "rater": "", "consent": 0}
_ADDED: dict[str, dict[str, str | int]] = {
    "ratings": {"wrong": "", "better": "", **_CONSENTED},
    "corrections": _CONSENTED,
    "labels": {"slots": "{}"},
}
_TABLES = ("ratings", "corrections", "labels")
# The columns `task` and `follows` of a correction hold task names in order, a blank between them.
# Columns that hold a list or an object, by table:
_AS_JSON = {
    "ratings": ("tasks", "fingerprints", "steps"),
    "corrections": ("instead_of", "fingerprints", "steps"),
    "labels": ("slots",),
}
TableRow = dict[str, Any]  # by column


class FeedbackError(PatchbayError):
    """The feedback file could not be read or written."""


@dataclass(frozen=True)
class Rating:
    """What someone thought of an answer.

    Attributes:
        turn: id of the request; rating it again replaces the row.
        rating: 1 liked, -1 disliked, 0 takes an earlier rating back.
        tasks: the plan's tasks in order.
        fingerprints: what made the answer.
        wrong, better: what was wrong with a disliked answer, and a better one, where it was said.
        steps: those of the answer, with consent only.
        rater: a random id of a browser, or who has logged in; empty: not known.
        consent: the rater has agreed that it is used for training.
        at: when it was given; set by the store.
    """

    turn: str
    rating: int
    request: str
    answer: str
    tasks: Sequence[str]
    fingerprints: Mapping[str, str]
    wrong: str = ""
    better: str = ""
    steps: tuple[AnsweredStep, ...] = ()
    rater: str = ""
    consent: bool = False
    at: str = field(default="", compare=False)


@dataclass(frozen=True)
class Correction:
    """A labelled routing example: `request` asks for `tasks`.

    Attributes:
        tasks: the plan that the person chose, in order.
        instead_of: the tasks the router had planned, with its `confidence`.
        follows: the tasks of the turn before; empty for a first request.
        fingerprints: what made the answer that was rejected.
        steps: those of the answer by the chosen tasks, with consent only.
        rater, consent, at: as a rating's.
    """

    turn: str
    request: str
    tasks: Sequence[str]
    instead_of: Sequence[str]
    confidence: float
    follows: Sequence[str]
    fingerprints: Mapping[str, str]
    steps: tuple[AnsweredStep, ...] = ()
    rater: str = ""
    consent: bool = False
    at: str = field(default="", compare=False)


@dataclass(frozen=True)
class LabelledText:
    """A training row of a `choose` task: the label that a person gave a text.

    Attributes:
        turn: id of the table and its row; a second label for it replaces the first.
        instead_of: the label that was answered.
        fingerprint: of what answered.
        slots: the label list of the person's own, where there is one.
        at: as a rating's.
    """

    turn: str
    task: str
    text: str
    label: str
    instead_of: str
    fingerprint: str
    slots: Mapping[str, SlotValue] = field(default_factory=dict)
    at: str = field(default="", compare=False)


class Feedback:
    """The store. Safe from many threads: each call opens and closes its own connection."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / "feedback.sqlite"

    def rate(self, rating: Rating) -> None:
        """Keep a like or dislike, or forget it when the rating is 0.

        Raises:
            FeedbackError: the file cannot be written.
        """
        with self._open() as db:
            db.execute("DELETE FROM ratings WHERE turn = ?", (rating.turn,))
            if rating.rating:
                _insert(db, "ratings", rating)

    def correct(self, correction: Correction) -> None:
        """Keep a routing example. A second choice for the same turn replaces the first one's tasks.

        Raises:
            FeedbackError: the file cannot be written.
        """
        with self._open() as db:
            _insert(
                db, "corrections", correction,
                "ON CONFLICT (turn) DO UPDATE SET at = excluded.at, task = excluded.task, "
                "steps = excluded.steps, rater = excluded.rater, consent = excluded.consent",
            )  # fmt: skip

    def forget_correction(self, turn: str) -> None:
        """Take a routing example back. Raises as `rate`."""
        with self._open() as db:
            db.execute("DELETE FROM corrections WHERE turn = ?", (turn,))

    def label(self, labelled: LabelledText) -> None:
        """Keep a training row. Raises as `rate`."""
        with self._open() as db:
            db.execute("DELETE FROM labels WHERE turn = ?", (labelled.turn,))
            _insert(db, "labels", labelled)

    def agree(
        self, turn: str, steps: Sequence[AnsweredStep], rater: str, corrects: str = ""
    ) -> None:
        """Keep that a rating may be trained on, with the steps of the answer. Raises as `rate`.

        Args:
            turn: the answer's, as it was rated.
            corrects: the routing example that the answer follows from, by its turn.
        """
        kept = _json([step.model_dump() for step in steps])
        with self._open() as db:
            for table, key in (("ratings", turn), ("corrections", corrects)):
                db.execute(
                    f"UPDATE {table} SET at = ?, steps = ?, rater = ?, consent = 1 WHERE turn = ?",
                    (_now(), kept, rater, key),
                )

    def withdraw(self, rater: str) -> None:
        """Take a rater's consent back: the ratings and routes stay, as of one who never agreed,
        and nothing of the answers' steps. Raises as `rate`.
        """
        with self._open() as db:
            for table in ("ratings", "corrections"):
                db.execute(
                    f"UPDATE {table} SET steps = '[]', consent = 0 WHERE rater = ?", (rater,)
                )

    def labelled(self) -> list[LabelledText]:
        """All training rows, oldest first. Raises as `rate`."""
        return [LabelledText(**row) for row in self._read("labels")]

    def ratings(self) -> list[Rating]:
        """All ratings, oldest first. Raises as `rate`."""
        return [Rating(**_with_steps(row)) for row in self._read("ratings")]

    def corrections(self) -> list[Correction]:
        """All routing examples, oldest first. Raises as `rate`."""
        return [
            Correction(
                tasks=row.pop("task").split(),
                **_with_steps(row) | {"follows": row["follows"].split()},
            )
            for row in self._read("corrections")
        ]

    def _read(self, table: str) -> list[TableRow]:
        with self._open() as db:
            db.row_factory = sqlite3.Row
            return _rows(db, table)

    def export(self) -> dict[str, list[TableRow]]:
        """All rows of each table, oldest first, as they were at one moment. Raises as `rate`."""
        with self._open() as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")  # so that no row comes between the tables
            return {table: _rows(db, table) for table in _TABLES}

    def restore(self, exported: Mapping[str, Sequence[TableRow]]) -> None:
        """Put exported rows back, except where the turn has a row here. Raises as `rate`."""
        with self._open() as db:
            for table in _TABLES:
                columns = _columns(db, table)
                marks, added = ", ".join("?" * len(columns)), _ADDED[table]
                db.executemany(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "
                    "ON CONFLICT (turn) DO NOTHING",
                    [
                        [_cell(row.get(name, added.get(name))) for name in columns]
                        for row in exported.get(table, ())
                    ],
                )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=10)) as db, db:
                db.executescript(_SCHEMA)
                _migrate(db)
                yield db
        except (OSError, sqlite3.Error) as error:
            raise FeedbackError(
                f"Feedback cannot be kept in {self.file}: {error}. "
                "Check that the disk has room and the file can be written."
            ) from error


def _migrate(db: sqlite3.Connection) -> None:
    """Add what the tables of an earlier version lack; their rows stay as they are."""
    if all(set(_ADDED[table]) <= set(_columns(db, table)) for table in _TABLES):
        return
    db.execute("BEGIN IMMEDIATE")  # another process may be about to do the same
    for table, added in _ADDED.items():
        for name, value in added.items():
            if name not in _columns(db, table):
                kind = "INTEGER" if isinstance(value, int) else "TEXT"
                db.execute(
                    f"ALTER TABLE {table} ADD COLUMN {name} {kind} NOT NULL DEFAULT '{value}'"
                )
    db.commit()


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def _rows(db: sqlite3.Connection, table: str) -> list[TableRow]:
    rows = (dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY at, turn"))
    return [
        {name: json.loads(v) if name in _AS_JSON[table] else v for name, v in row.items()}
        for row in rows
    ]


def _insert(
    db: sqlite3.Connection, table: str, kept: Rating | Correction | LabelledText, more: str = ""
) -> None:
    values = vars(kept) | {"at": _now()}
    if isinstance(kept, Rating | Correction):
        values |= {"steps": [step.model_dump() for step in kept.steps]}
    if isinstance(kept, Correction):
        values |= {"task": " ".join(kept.tasks), "follows": " ".join(kept.follows)}
    columns = _columns(db, table)
    marks = ", ".join("?" * len(columns))
    db.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) {more}",
        [_cell(values[name]) for name in columns],
    )


def _with_steps(row: TableRow) -> TableRow:
    steps = tuple(AnsweredStep(**step) for step in row["steps"])
    return row | {"steps": steps, "consent": bool(row["consent"])}


def _cell(value: Any) -> Any:
    value = dict(value) if isinstance(value, Mapping) else value
    return _json(value) if isinstance(value, list | tuple | dict) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
