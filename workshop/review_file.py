"""The SQLite file of reviewed rows: its tables, and connections that several processes may hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.errors import PatchbayError
from workshop.tables import require_tables

BUSY_SECONDS = 30.0  # that another process may take over its writing
# `turn` says when a row is to be reviewed; NULL: behind those that have one. A decision that is
# `undone` counts no more, and the latest of the others does. Of a row that was withdrawn its id
# stays, in `withdrawn` and `used`, and nothing else.
_SCHEMA = """
CREATE TABLE rows (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task TEXT NOT NULL, text TEXT NOT NULL,
    slots TEXT NOT NULL, answer TEXT NOT NULL, labels TEXT NOT NULL, adapter TEXT NOT NULL,
    fingerprint TEXT NOT NULL, why TEXT NOT NULL, suggested TEXT NOT NULL, rater TEXT NOT NULL,
    consent INTEGER NOT NULL, at TEXT NOT NULL, held_out INTEGER NOT NULL, turn INTEGER
);
CREATE INDEX rows_by_task ON rows (task);
CREATE INDEX rows_by_rater ON rows (rater);
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, status TEXT NOT NULL,
    right TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX decisions_by_id ON decisions (id) WHERE NOT undone;
CREATE TABLE marks (
    id TEXT NOT NULL, mark TEXT NOT NULL, said TEXT NOT NULL, PRIMARY KEY (id, mark)
);
CREATE TABLE left_out (rater TEXT PRIMARY KEY);
CREATE TABLE used (
    id TEXT NOT NULL, adapter TEXT NOT NULL, fingerprint TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (id, adapter, fingerprint)
);
CREATE TABLE withdrawn (id TEXT PRIMARY KEY, at TEXT NOT NULL);
PRAGMA user_version = 1;
"""


class ReviewError(PatchbayError):
    """The file of reviewed rows could not be read or written."""


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, which is made where it is not there.

    Raises:
        ReviewError: it cannot be read or made.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            require_tables(db, file, _SCHEMA)
            db.row_factory = sqlite3.Row
            db.create_function("folded", 1, str.casefold, deterministic=True)
            db.execute("PRAGMA secure_delete = ON")  # what is withdrawn is overwritten
            db.execute("PRAGMA synchronous = FULL")  # what was decided outlasts a power cut
            yield db
    except (OSError, sqlite3.Error) as error:
        raise ReviewError(
            f"Reviewed rows cannot be kept in {file}: {error}. "
            "Check that the disk has room and the file can be written."
        ) from error


@contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are on the disk when the block ends, all or, after an error, none.

    Raises as `reading`.
    """
    with reading(file) as db:
        db.execute("BEGIN IMMEDIATE")
        with db:
            yield db


def forget_log(file: Path) -> None:
    """Empty the log of writes, which still holds what was deleted. Raises as `reading`."""
    with reading(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def now() -> str:
    """The time as it is kept: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
