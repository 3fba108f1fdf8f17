"""Rows that a person reviews before anything is trained or judged on them, in one SQLite file.

What was decided is a log: a later decision stands before an earlier one, and undoing uncovers it.
Each change is on the disk before its call returns, and is there whole or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from core import paths
from core.errors import InputError, UnknownName
from workshop.refusal import Refusal
from workshop.review_file import forget_log, now, reading, writing
from workshop.review_row import ReviewRow, Status, Why

__all__ = ["InEvaluationSet", "NoConsent", "ReviewRow", "ReviewStore"]

Mark = Literal["duplicate", "suspect", "evaluation", "rater"]  # see `workshop.similar`
_GIVEN = (
    "id", "task", "text", "slots", "answer", "labels", "adapter", "fingerprint", "why",
    "suggested", "rater", "consent", "at", "held_out",
)  # fmt: skip
_DECIDED = (
    "LEFT JOIN decisions AS decided ON decided.number = "
    "(SELECT max(number) FROM decisions WHERE id = rows.id AND NOT undone)"
)
_SELECT = (
    f"SELECT {', '.join(f'rows.{name}' for name in _GIVEN)}, "
    "coalesce(decided.status, 'pending') AS status, coalesce(decided.right, '') AS right, "
    "coalesce(decided.by, '') AS by, coalesce(decided.at, '') AS decided_at "
    f"FROM rows {_DECIDED}"
)
_ORDER = {
    "pending": "rows.turn IS NULL, rows.turn, rows.place",
    "done": "decided.number DESC",
    "declined": "decided.number DESC",
}


class NoConsent(Refusal):
    """Nobody has agreed that the row is used for training."""


class InEvaluationSet(Refusal):
    """The row stands in an evaluation set, and training on it would make figures flatter."""


class ReviewStore:
    """The store. Safe from many threads and processes: each call has its own connection."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / "workshop" / "review.sqlite"

    def add(self, rows: Iterable[ReviewRow]) -> int:
        """Put rows to be reviewed, and take over what has changed of those that still are.

        A row that is decided stays as it is. One that was withdrawn does not come back, unless its
        rater has agreed again since.

        Returns:
            how many were not there before.

        Raises:
            ReviewError: the file cannot be read or written; so do all others here.
        """
        marks = ", ".join(f":{name}" for name in _GIVEN)
        changed = ", ".join(f"{name} = excluded.{name}" for name in _GIVEN if name != "held_out")
        with writing(self.file) as db:
            before = _count(db)
            db.executemany(
                f"INSERT INTO rows ({', '.join(_GIVEN)}) SELECT {marks} WHERE NOT EXISTS "
                "(SELECT 1 FROM withdrawn WHERE id = :id AND "
                "(:why = 'imported' OR NOT :consent OR withdrawn.at >= :at)) "
                f"ON CONFLICT (id) DO UPDATE SET {changed} "
                "WHERE NOT EXISTS "
                "(SELECT 1 FROM decisions WHERE id = excluded.id AND NOT undone)",
                (_cells(row) for row in rows),
            )
            return _count(db) - before

    def get(self, id: str) -> ReviewRow:
        """The row of that id.

        Raises:
            UnknownName: there is none.
        """
        with reading(self.file) as db:
            return _get(db, id)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that there are rows of."""
        with reading(self.file) as db:
            sql = "SELECT 1 FROM rows WHERE id = ?"
            return {id for id in ids if db.execute(sql, (id,)).fetchone()}

    def pending(self, task: str | None = None) -> list[ReviewRow]:
        """Rows to be reviewed, in the order by worth; without those of raters who are left out."""
        return self.find("pending", task)

    def done(self, task: str | None = None) -> list[ReviewRow]:
        """Rows that were accepted, the last one first; without those of raters left out."""
        return self.find("done", task)

    def find(
        self,
        status: Status,
        task: str | None = None,
        limit: int | None = None,
        *,
        why: Why | None = None,
        rater: str | None = None,
        containing: str = "",
    ) -> list[ReviewRow]:
        """Rows of a status, in the order by worth; those decided come the last decided first.

        Args:
            limit: so many at most.
            rater: only theirs; without it, none of raters who are left out.
            containing: words of the text or the answer, in capitals or not.
        """
        where = ["coalesce(decided.status, 'pending') = :status"]
        where += ["rows.rater NOT IN (SELECT rater FROM left_out)"] if rater is None else []
        where += [
            f"rows.{name} = :{name}"
            for name, value in {"task": task, "why": why, "rater": rater}.items()
            if value is not None
        ]
        if containing:
            where.append("(instr(folded(rows.text), :words) OR instr(folded(rows.answer), :words))")
        values = {
            "status": status, "task": task, "why": why, "rater": rater,
            "words": containing.casefold(), "limit": -1 if limit is None else limit,
        }  # fmt: skip
        with reading(self.file) as db:
            found = db.execute(
                f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY {_ORDER[status]} LIMIT :limit",
                values,
            )
            return [_row(one) for one in found]

    def counts(self) -> dict[str, dict[Status, int]]:
        """Task -> status -> rows, a status that none has included; without raters left out."""
        sql = (
            "SELECT rows.task, coalesce(decided.status, 'pending'), count(*) FROM rows "
            f"{_DECIDED} WHERE rows.rater NOT IN (SELECT rater FROM left_out) "
            "GROUP BY 1, 2 ORDER BY 1"
        )
        counts: dict[str, dict[Status, int]] = {}
        with reading(self.file) as db:
            for task, status, number in db.execute(sql):
                counts.setdefault(task, {"pending": 0, "done": 0, "declined": 0})[status] = number
        return counts

    def decide(self, id: str, right: str, by: str) -> ReviewRow:
        """Accept a row with its right answer.

        Raises:
            UnknownName: there is no such row.
            NoConsent: nobody has agreed to its use.
            InEvaluationSet: it is marked so.
            InputError: the answer is empty.
        """
        if not right.strip():
            raise InputError("The right answer is empty. Write it, or decline the row.")
        with writing(self.file) as db:
            row = _get(db, id)
            if not row.consent:
                raise NoConsent(
                    "no_consent",
                    "Who gave the row {id} has not agreed to its use for training. It can be "
                    "looked at and declined.",
                    id=id,
                )
            said = db.execute("SELECT said FROM marks WHERE id = ? AND mark = 'evaluation'", (id,))
            if (found := said.fetchone()) and not row.held_out:
                raise InEvaluationSet(
                    "in_evaluation",
                    "The row {id} stands in an evaluation set ({data}): trained on, it would make "
                    "the figures flatter. Decline it.",
                    id=id,
                    data=found[0],
                )
            return _decided(db, id, "done", right.strip(), by)

    def decline(self, id: str, by: str) -> ReviewRow:
        """Put a row aside.

        Raises:
            UnknownName: there is no such row.
        """
        with writing(self.file) as db:
            _get(db, id)
            return _decided(db, id, "declined", "", by)

    def undo(self, by: str) -> str | None:
        """Take that person's last decision back; what stood before it stands again.

        Returns:
            the row's id; None where that person has none left.
        """
        with writing(self.file) as db:
            last = db.execute(
                "SELECT number, id FROM decisions WHERE by = ? AND NOT undone "
                "AND status <> 'pending' ORDER BY number DESC LIMIT 1",
                (by,),
            ).fetchone()
            if last is None:
                return None
            db.execute("UPDATE decisions SET undone = 1 WHERE number = ?", (last[0],))
            return str(last[1])

    def put_in_order(self, task: str, ids: Sequence[str]) -> None:
        """Have these rows of a task reviewed first, in this order; its others come behind them."""
        with writing(self.file) as db:
            db.execute("UPDATE rows SET turn = NULL WHERE task = ?", (task,))
            turns = [(turn, id, task) for turn, id in enumerate(ids)]
            db.executemany("UPDATE rows SET turn = ? WHERE id = ? AND task = ?", turns)

    def mark(self, mark: Mark, said: Mapping[str, str], among: Collection[str]) -> None:
        """Say something of rows, by id; what the mark said before of those `among` is forgotten."""
        with writing(self.file) as db:
            db.executemany(
                "DELETE FROM marks WHERE mark = ? AND id = ?", ((mark, i) for i in among)
            )
            db.executemany(
                "INSERT OR REPLACE INTO marks SELECT ?1, ?2, ?3 WHERE ?1 IN (SELECT id FROM rows)",
                [(id, mark, words) for id, words in said.items()],
            )

    def marks(self, ids: Collection[str]) -> dict[str, dict[Mark, str]]:
        """Id -> mark -> what it says; an id without marks is left out."""
        found: dict[str, dict[Mark, str]] = {}
        with reading(self.file) as db:
            for id in ids:
                for mark, said in db.execute("SELECT mark, said FROM marks WHERE id = ?", (id,)):
                    found.setdefault(id, {})[mark] = said
        return found

    def leave_out(self, rater: str, out: bool = True) -> None:
        """Leave all rows of a rater out of review and training, or take them in again.

        Raises:
            InputError: no rater is named.
        """
        _require_rater(rater)
        with writing(self.file) as db:
            db.execute("DELETE FROM left_out WHERE rater = ?", (rater,))
            if out:
                db.execute("INSERT INTO left_out VALUES (?)", (rater,))

    def left_out(self) -> list[str]:
        """The raters who are left out, sorted."""
        with reading(self.file) as db:
            return [rater for (rater,) in db.execute("SELECT rater FROM left_out ORDER BY 1")]

    def odd_raters(self, task: str | None = None) -> dict[str, str]:
        """Those who are marked so and not left out: rater -> what the mark says."""
        sql = (
            "SELECT DISTINCT rows.rater, marks.said FROM marks JOIN rows ON rows.id = marks.id "
            "WHERE marks.mark = 'rater' AND rows.rater NOT IN (SELECT rater FROM left_out) "
            "AND (?1 IS NULL OR rows.task = ?1) ORDER BY 1"
        )
        with reading(self.file) as db:
            return {str(rater): str(said) for rater, said in db.execute(sql, (task,))}

    def review_again(self, rater: str, by: str) -> int:
        """Have a rater's rows reviewed anew, without what the rater said of them.

        What was decided of them waits to be decided again, and what was answered is suggested. The
        rater is taken in again.

        Returns:
            how many rows there are.

        Raises:
            InputError: no rater is named.
        """
        _require_rater(rater)
        with writing(self.file) as db:
            db.execute("DELETE FROM left_out WHERE rater = ?", (rater,))
            ids = [id for (id,) in db.execute("SELECT id FROM rows WHERE rater = ?", (rater,))]
            for id in ids:
                _decided(db, id, "pending", "", by)  # a later `add` does not bring it back
                db.execute("UPDATE rows SET suggested = answer WHERE id = ?", (id,))
                db.execute("DELETE FROM marks WHERE id = ? AND mark IN ('rater', 'suspect')", (id,))
            return len(ids)

    def mark_used(self, ids: Iterable[str], adapter: str, fingerprint: str) -> None:
        """Keep that an adapter was trained on rows."""
        with writing(self.file) as db:
            values = [(id, adapter, fingerprint, now()) for id in ids]
            db.executemany("INSERT OR IGNORE INTO used VALUES (?, ?, ?, ?)", values)

    def used(self, adapter: str, fingerprint: str | None = None) -> list[str]:
        """Ids of the rows that an adapter was trained on, withdrawn ones included."""
        with reading(self.file) as db:
            found = db.execute(
                "SELECT DISTINCT id FROM used WHERE adapter = ?1 "
                "AND (?2 IS NULL OR fingerprint = ?2) ORDER BY id",
                (adapter, fingerprint),
            )
            return [id for (id,) in found]

    def withdraw(self, rater: str = "", ids: Iterable[str] = ()) -> list[str]:
        """Delete what a rater gave, or some rows, because consent was taken back.

        Their ids stay, so that they are not collected again.

        Returns:
            the adapters that were trained on any of them, sorted.
        """
        with writing(self.file) as db:
            gone = [*ids]
            if rater:
                gone += [
                    id for (id,) in db.execute("SELECT id FROM rows WHERE rater = ?", (rater,))
                ]
            adapters: set[str] = set()
            for id in gone:
                found = db.execute("SELECT adapter FROM used WHERE id = ?", (id,))
                adapters |= {adapter for (adapter,) in found}
                for table in ("rows", "decisions", "marks"):
                    db.execute(f"DELETE FROM {table} WHERE id = ?", (id,))
                db.execute("INSERT OR REPLACE INTO withdrawn VALUES (?, ?)", (id, now()))
        forget_log(self.file)
        return sorted(adapters)


def _get(db: sqlite3.Connection, id: str) -> ReviewRow:
    found = db.execute(f"{_SELECT} WHERE rows.id = ?", (id,)).fetchone()
    if found is None:
        near = [one for (one,) in db.execute("SELECT id FROM rows ORDER BY place LIMIT 20")]
        raise UnknownName("row to review", id, near)
    return _row(found)


def _require_rater(rater: str) -> None:
    """Rows without a rater are of many people that nobody knows, and not of one."""
    if not rater:
        raise InputError("Name the rater: rows of raters that are not known have none in common.")


def _decided(db: sqlite3.Connection, id: str, status: Status, right: str, by: str) -> ReviewRow:
    db.execute(
        "INSERT INTO decisions (id, status, right, by, at) VALUES (?, ?, ?, ?, ?)",
        (id, status, right, by, now()),
    )
    return _get(db, id)


def _cells(row: ReviewRow) -> dict[str, Any]:
    values = row.model_dump(include={*_GIVEN})
    return values | {name: _json(values[name]) for name in ("slots", "labels")}


def _row(found: sqlite3.Row) -> ReviewRow:
    values = dict(found)
    return ReviewRow(**values | {name: json.loads(values[name]) for name in ("slots", "labels")})


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM rows").fetchone()[0])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
