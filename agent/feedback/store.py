"""Likes, dislikes and route corrections, kept in one SQLite file on this computer.

A correction is a labelled routing example: the request, the tasks the person chose, and what the
router had chosen. Nothing is kept unless someone presses a button for it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import paths
from core.errors import PatchbayError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ratings (
    turn TEXT PRIMARY KEY, at TEXT NOT NULL, rating INTEGER NOT NULL CHECK (rating IN (-1, 1)),
    request TEXT NOT NULL, answer TEXT NOT NULL, tasks TEXT NOT NULL, fingerprints TEXT NOT NULL,
    wrong TEXT NOT NULL DEFAULT '', better TEXT NOT NULL DEFAULT ''
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
_ADDED = ("wrong", "better")  # columns that the ratings of an earlier version lack


_TABLES = ("ratings", "corrections", "labels")
# The columns `task` and `follows` of a correction hold task names in order, a blank between them.
# Columns that hold a list or an object, by table:
_AS_JSON = {
    "ratings": ("tasks", "fingerprints"),
    "corrections": ("instead_of", "fingerprints"),
    "labels": (),
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
    """

    turn: str
    rating: int
    request: str
    answer: str
    tasks: Sequence[str]
    fingerprints: Mapping[str, str]
    wrong: str = ""
    better: str = ""


@dataclass(frozen=True)
class Correction:
    """A labelled routing example: `request` asks for `tasks`.

    Attributes:
        tasks: the plan that the person chose, in order.
        instead_of: the tasks the router had planned, with its `confidence`.
        follows: the tasks of the turn before; empty for a first request.
        fingerprints: what made the answer that was rejected.
    """

    turn: str
    request: str
    tasks: Sequence[str]
    instead_of: Sequence[str]
    confidence: float
    follows: Sequence[str]
    fingerprints: Mapping[str, str]


@dataclass(frozen=True)
class LabelledText:
    """A training row of a `choose` task: the label that a person gave a text.

    Attributes:
        turn: id of the table and its row; a second label for it replaces the first.
        instead_of: the label that was answered.
        fingerprint: of what answered.
    """

    turn: str
    task: str
    text: str
    label: str
    instead_of: str
    fingerprint: str


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
                row = (
                    rating.turn,
                    _now(),
                    rating.rating,
                    rating.request,
                    rating.answer,
                    _json(list(rating.tasks)),
                    _json(dict(rating.fingerprints)),
                    rating.wrong,
                    rating.better,
                )
                db.execute("INSERT INTO ratings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def correct(self, correction: Correction) -> None:
        """Keep a routing example. A second choice for the same turn replaces the first one's tasks.

        Raises:
            FeedbackError: the file cannot be written.
        """
        row = (
            correction.turn,
            _now(),
            correction.request,
            " ".join(correction.tasks),
            _json(list(correction.instead_of)),
            correction.confidence,
            " ".join(correction.follows),
            _json(dict(correction.fingerprints)),
        )
        with self._open() as db:
            db.execute(
                "INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (turn) DO UPDATE SET at = excluded.at, task = excluded.task",
                row,
            )

    def forget_correction(self, turn: str) -> None:
        """Take a routing example back. Raises as `rate`."""
        with self._open() as db:
            db.execute("DELETE FROM corrections WHERE turn = ?", (turn,))

    def label(self, labelled: LabelledText) -> None:
        """Keep a training row. Raises as `rate`."""
        row = (
            labelled.turn, _now(), labelled.task, labelled.text, labelled.label,
            labelled.instead_of, labelled.fingerprint,
        )  # fmt: skip
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def labelled(self) -> list[LabelledText]:
        """All training rows, oldest first. Raises as `rate`."""
        columns = "turn, task, text, label, instead_of, fingerprint"
        with self._open() as db:
            rows = db.execute(f"SELECT {columns} FROM labels ORDER BY at").fetchall()
        return [LabelledText(*row) for row in rows]

    def ratings(self) -> list[Rating]:
        """All ratings, oldest first. Raises as `rate`."""
        columns = "turn, rating, request, answer, tasks, fingerprints, wrong, better"
        with self._open() as db:
            rows = db.execute(f"SELECT {columns} FROM ratings ORDER BY at").fetchall()
        return [
            Rating(
                turn=turn,
                rating=rating,
                request=request,
                answer=answer,
                tasks=json.loads(tasks),
                fingerprints=json.loads(fingerprints),
                wrong=wrong,
                better=better,
            )
            for turn, rating, request, answer, tasks, fingerprints, wrong, better in rows
        ]

    def corrections(self) -> list[Correction]:
        """All routing examples, oldest first. Raises as `rate`."""
        columns = "turn, request, task, instead_of, confidence, follows, fingerprints"
        with self._open() as db:
            rows = db.execute(f"SELECT {columns} FROM corrections ORDER BY at").fetchall()
        return [
            Correction(
                turn=turn,
                request=request,
                tasks=task.split(),
                instead_of=json.loads(instead_of),
                confidence=confidence,
                follows=follows.split(),
                fingerprints=json.loads(fingerprints),
            )
            for turn, request, task, instead_of, confidence, follows, fingerprints in rows
        ]

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
                marks = ", ".join("?" * len(columns))
                db.executemany(
                    f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT (turn) DO NOTHING",
                    [
                        [_cell(row.get(name, "" if name in _ADDED else None)) for name in columns]
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
    """Add what the table of an earlier version lacks; its rows stay as they are."""
    if set(_ADDED) <= set(_columns(db, "ratings")):
        return
    db.execute("BEGIN IMMEDIATE")  # another process may be about to do the same
    for name in _ADDED:
        if name not in _columns(db, "ratings"):
            db.execute(f"ALTER TABLE ratings ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    db.commit()


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def _rows(db: sqlite3.Connection, table: str) -> list[TableRow]:
    rows = (dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY at, turn"))
    return [
        {name: json.loads(v) if name in _AS_JSON[table] else v for name, v in row.items()}
        for row in rows
    ]


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
