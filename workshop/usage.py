"""A line of numbers for each answer, and none of its words, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from core import paths
from core.errors import PatchbayError
from workshop.alerts import KINDS, Alert, kind_of
from workshop.tables import require_tables

# What drift is looked for in: numbers of the text, the router's confidence, the answer's.
FEATURES = ("length", "word_length", "letters", "route", "confidence")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS lines (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, task TEXT NOT NULL,
    language TEXT NOT NULL, adapter TEXT NOT NULL, fingerprint TEXT NOT NULL,
    choice INTEGER NOT NULL, length REAL NOT NULL, word_length REAL NOT NULL, letters REAL NOT NULL,
    route REAL, confidence REAL, prompt_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,
    first_token REAL NOT NULL, seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS lines_by_answerer ON lines (task, fingerprint, number);
CREATE TABLE IF NOT EXISTS streams (
    task TEXT NOT NULL, fingerprint TEXT NOT NULL, begin INTEGER NOT NULL DEFAULT 0,
    looks INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (task, fingerprint)
);
CREATE TABLE IF NOT EXISTS reference (
    task TEXT NOT NULL, fingerprint TEXT NOT NULL, feature TEXT NOT NULL, numbers TEXT NOT NULL,
    PRIMARY KEY (task, fingerprint, feature)
);
CREATE TABLE IF NOT EXISTS alerts (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, said TEXT NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0
);
PRAGMA user_version = 1;
"""


class UsageError(PatchbayError):
    """The file of usage could not be read or written."""


@dataclass(frozen=True)
class UsageLine:
    """One answered step, in numbers.

    Attributes:
        at: UTC, ISO 8601.
        language: of the text, ISO 639-1.
        adapter, fingerprint: what answered; both empty for the bare base.
        choice: whether a label was chosen, so that `confidence` is the chance that it is right.
        length, word_length, letters: see `workshop.text_numbers`.
        route: probability of the plan; None where a person chose the task.
        confidence: probability of the answer; None where the engine does not say.
        first_token, seconds: of the step.
    """

    at: str
    task: str
    language: str
    adapter: str
    fingerprint: str
    choice: bool
    length: float
    word_length: float
    letters: float
    route: float | None
    confidence: float | None
    prompt_tokens: int
    tokens: int
    first_token: float
    seconds: float


@dataclass(frozen=True)
class DaySums:
    """A day's answers of one answerer in one language; times are means, in seconds."""

    day: str
    task: str
    adapter: str
    fingerprint: str
    language: str
    answers: int
    prompt_tokens: int
    tokens: int
    first_token: float
    seconds: float


@dataclass(frozen=True)
class Stream:
    """What one answerer of one task has answered.

    Attributes:
        begin: number of the last line that counts no more.
        looks: how often it was looked at.
        answers: since `begin`.
        chooses: whether labels were chosen.
    """

    task: str
    adapter: str
    fingerprint: str
    begin: int
    looks: int
    answers: int
    chooses: bool


_COLUMNS = ", ".join(field.name for field in fields(UsageLine))
_MARKS = ", ".join("?" * len(fields(UsageLine)))


class UsageStore:
    """The store. Safe from many threads and processes: each call has its own connection.

    Every method raises UsageError where the file cannot be read or written.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / "workshop" / "usage.sqlite"

    def add(self, lines: Sequence[UsageLine]) -> None:
        """Keep lines."""
        with self._open() as db:
            db.executemany(
                f"INSERT INTO lines ({_COLUMNS}) VALUES ({_MARKS})", [astuple(one) for one in lines]
            )

    def days(self, since: str = "") -> list[DaySums]:
        """Sums by day, task, adapter and language, the latest day first.

        Args:
            since: a day, like 2026-11-27; the first that is wanted.
        """
        with self._open() as db:
            rows = db.execute(
                "SELECT substr(at, 1, 10) AS day, task, adapter, fingerprint, language, count(*), "
                "sum(prompt_tokens), sum(tokens), avg(first_token), avg(seconds) FROM lines "
                "WHERE at >= ? GROUP BY day, task, adapter, fingerprint, language "
                "ORDER BY day DESC, count(*) DESC",
                (since,),
            ).fetchall()
        return [DaySums(*row) for row in rows]

    def streams(self) -> list[Stream]:
        """What every answerer has answered, the busiest first."""
        with self._open() as db:
            rows = db.execute(
                "SELECT lines.task, max(adapter), lines.fingerprint, ifnull(begin, 0), "
                "ifnull(looks, 0), sum(number > ifnull(begin, 0)), max(choice) FROM lines "
                "LEFT JOIN streams USING (task, fingerprint) "
                "GROUP BY lines.task, lines.fingerprint ORDER BY count(*) DESC"
            ).fetchall()
        return [
            Stream(task, adapter, fingerprint, begin, looks, answers, bool(chooses))
            for task, adapter, fingerprint, begin, looks, answers, chooses in rows
        ]

    def stream(self, task: str, fingerprint: str) -> Stream | None:
        """One of them; None where it has answered nothing."""
        key = (task, fingerprint)
        with self._open() as db:
            last = db.execute(
                "SELECT adapter, choice FROM lines WHERE (task, fingerprint) = (?, ?) "
                "ORDER BY number DESC LIMIT 1", key
            ).fetchone()  # fmt: skip
            begin, looks = db.execute(
                "SELECT begin, looks FROM streams WHERE (task, fingerprint) = (?, ?)", key
            ).fetchone() or (0, 0)
            (answers,) = db.execute(
                "SELECT count(*) FROM lines WHERE task = ? AND fingerprint = ? AND number > ?",
                (*key, begin),
            ).fetchone()
        if last is None:
            return None
        return Stream(task, last[0], fingerprint, begin, looks, answers, bool(last[1]))

    def first(self, stream: Stream, feature: str, count: int) -> tuple[list[float], int]:
        """The first numbers of a feature, oldest first, and the number of the last one's line."""
        rows = self._numbers(stream, feature, stream.begin, count, "")
        return [value for _, value in rows], rows[-1][0] if rows else stream.begin

    def latest(self, stream: Stream, feature: str, count: int, after: int = 0) -> list[float]:
        """The last numbers of a feature, oldest first, of the lines behind the one of a number."""
        rows = self._numbers(stream, feature, max(after, stream.begin), count, "DESC")
        return [value for _, value in reversed(rows)]

    def _numbers(
        self, stream: Stream, feature: str, after: int, count: int, order: str
    ) -> list[tuple[int, float]]:
        if feature not in FEATURES:
            raise ValueError(feature)
        with self._open() as db:
            return db.execute(
                f"SELECT number, {feature} FROM lines WHERE task = ? AND fingerprint = ? "
                f"AND number > ? AND {feature} NOTNULL ORDER BY number {order} LIMIT ?",
                (stream.task, stream.fingerprint, after, count),
            ).fetchall()

    def next_look(self, task: str, fingerprint: str) -> int:
        """The number of a look that is now taken, 1 for the first."""
        with self._open() as db:
            (looks,) = db.execute(
                "INSERT INTO streams (task, fingerprint, looks) VALUES (?, ?, 1) "
                "ON CONFLICT DO UPDATE SET looks = looks + 1 RETURNING looks",
                (task, fingerprint),
            ).fetchone()
        return int(looks)

    def set_reference(
        self, task: str, fingerprint: str, numbers: Mapping[str, Sequence[float]]
    ) -> None:
        """Take these numbers of features as the reference, as of the rows it was trained on."""
        with self._open() as db:
            db.executemany(
                "INSERT OR REPLACE INTO reference VALUES (?, ?, ?, ?)",
                [(task, fingerprint, name, json.dumps(list(of))) for name, of in numbers.items()],
            )

    def reference(self, task: str, fingerprint: str) -> dict[str, list[float]]:
        """The reference that was given, by feature."""
        with self._open() as db:
            rows = db.execute(
                "SELECT feature, numbers FROM reference WHERE task = ? AND fingerprint = ?",
                (task, fingerprint),
            ).fetchall()
        return {feature: json.loads(numbers) for feature, numbers in rows}

    def warn(self, alert: Alert) -> None:
        """Keep an alert until it is settled."""
        with self._open() as db:
            db.execute(
                "INSERT INTO alerts (kind, said) VALUES (?, ?)",
                (kind_of(alert), json.dumps(asdict(alert))),
            )

    def alerts(self) -> dict[int, Alert]:
        """Id -> alert, those that are not settled, the oldest first."""
        with self._open() as db:
            rows = db.execute("SELECT id, kind, said FROM alerts WHERE NOT settled").fetchall()
        return {number: KINDS[kind](**json.loads(said)) for number, kind, said in rows}

    def settle(self, number: int) -> None:
        """Take an alert away. What comes from now on is the new reference.

        Raises:
            UsageError: there is no such alert, or as always.
        """
        alert = self.alerts().get(number)
        if alert is None:
            raise UsageError(f"There is no open alert {number}.")
        key = (alert.task, alert.fingerprint)
        with self._open() as db:
            db.execute("UPDATE alerts SET settled = 1 WHERE id = ?", (number,))
            db.execute("DELETE FROM reference WHERE (task, fingerprint) = (?, ?)", key)
            db.execute(
                "INSERT INTO streams (task, fingerprint, begin) "
                "VALUES (?, ?, (SELECT max(number) FROM lines)) "
                "ON CONFLICT DO UPDATE SET begin = excluded.begin, looks = 0",
                key,
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(sqlite3.connect(self.file, timeout=10)) as db, db:
                require_tables(db, self.file, _SCHEMA)
                db.execute("PRAGMA synchronous = NORMAL")
                yield db
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"What is answered cannot be counted in {self.file}: {error}. Check that the disk "
                "has room and the file can be written, or set `watch: false`."
            ) from error
