"""Tables of an SQLite file, made once although several threads or processes begin at one time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from filelock import FileLock


def require_tables(db: sqlite3.Connection, file: Path, schema: str) -> None:
    """Make the tables, all or none, where they are not there. Whoever begins meanwhile waits.

    Args:
        schema: SQL that makes them and sets `user_version`.
    """
    if _version(db):
        return
    with FileLock(file.with_suffix(".lock")):
        if not _version(db):
            db.execute("PRAGMA journal_mode = WAL")  # fails at once where another has the file
            db.executescript(f"BEGIN; {schema} COMMIT;")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
