"""Which candidates were judged on the same rows, so that none of them gets alpha for itself alone.

Ten adapters without any gain, each tested once at 5%, bring forth a winner four times in ten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from core import fingerprint, paths
from core.errors import InputError
from evaluation.record import Outcome, RunSettings

CANDIDATES = "candidates.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tests (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, candidate TEXT NOT NULL, in_place TEXT NOT NULL,
    UNIQUE (task, candidate, in_place)
);
CREATE TABLE IF NOT EXISTS rows (
    test INTEGER NOT NULL REFERENCES tests, row TEXT NOT NULL, PRIMARY KEY (row, test)
) WITHOUT ROWID;
"""
_EARLIER = """
SELECT count(DISTINCT before.test) FROM rows AS mine
JOIN rows AS before ON before.row = mine.row AND before.test < mine.test
JOIN tests ON tests.id = before.test AND tests.task = ?
WHERE mine.test = ?
"""


class Candidates:
    """The person's own list, in one file. It holds fingerprints and no texts."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / CANDIDATES

    def place(self, candidate: RunSettings, in_place: RunSettings, rows: Sequence[Outcome]) -> int:
        """Note that a candidate is judged on rows; the same candidate can be looked at again.

        Args:
            candidate: what its run was asked.
            in_place: what the run of what it would replace was asked.
            rows: that both answered.

        Returns:
            1 for the first that was judged on any of these rows, 2 for the second.

        Raises:
            InputError: the file cannot be read or written.
        """
        names = (candidate.task_name, _identity(candidate), _identity(in_place))
        with self._open() as db:
            db.execute("INSERT OR IGNORE INTO tests (task, candidate, in_place) VALUES (?, ?, ?)",
                       names)  # fmt: skip
            (test,) = db.execute(
                "SELECT id FROM tests WHERE (task, candidate, in_place) = (?, ?, ?)", names
            ).fetchone()
            db.executemany(
                "INSERT OR IGNORE INTO rows VALUES (?, ?)",
                ((test, fingerprint.of_value([r.text, r.reference, r.slots])) for r in rows),
            )
            (earlier,) = db.execute(_EARLIER, (candidate.task_name, test)).fetchone()
        return int(earlier) + 1

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=10)) as db, db:
                db.executescript(_SCHEMA)
                yield db
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{self.file}, which counts the adapters that were judged on the same rows, cannot "
                f"be used ({error}). Mend or delete it; without it counting begins anew."
            ) from error


def _identity(settings: RunSettings) -> str:
    """Changes with what answers."""
    return fingerprint.of_value([settings.answered_by, settings.fingerprints])
