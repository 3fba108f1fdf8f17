"""Answers of two adapters compared by people who do not know whose is whose, beside a judging.

`comparisons.jsonl` in the job's folder is only appended to: its first line has the seed that the
order of rows and answers is drawn by, each other line what somebody chose, or took back. It has
lines of the judged file and no words, so that nothing is in it that could be withdrawn.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from core.errors import InputError, PatchbayError
from tasks.spec import TaskSpec
from workshop.human_preference import LEAST, HumanPreference, Winner, preference
from workshop.jobs import JobFolder, now
from workshop.refusal import Refusal
from workshop.verdict import ChangedRow, changed_rows, read_verdict

COMPARISONS = "comparisons.jsonl"
Choice = Literal["first", "second", "tie"]
Side = Literal["new", "old"]
_OTHER: dict[Side, Side] = {"new": "old", "old": "new"}


@dataclass(frozen=True)
class BlindRow:
    """A row with its two answers in the order that was drawn for it, without names.

    Attributes:
        line: of the judged file; names the row.
    """

    line: int
    text: str
    slots: dict[str, str]
    first: str
    second: str


class Comparison(BaseModel):
    """What somebody said of a row.

    Attributes:
        first: whose answer stood first.
        choice: the better answer; `undo` takes back what that person said last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: int
    first: Side
    choice: Choice | Literal["undo"]
    by: str
    at: str

    @property
    def winner(self) -> Winner:
        """Whose answer was chosen."""
        if self.choice == "tie":
            return "tie"
        return self.first if self.choice == "first" else _OTHER[self.first]


class BlindComparisons:
    """Those of one judging. Safe from many threads and processes.

    Where several people say something of one row, the first of it counts, and all of it is kept.

    Attributes:
        rows: line -> row, of those whose answers differ by more than spaces around them.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, found: JobFolder) -> None:
        self.found, self.file = found, found.folder / COMPARISONS
        self.rows: dict[int, ChangedRow] = {
            row.line: row
            for row in changed_rows(found.folder)
            if row.before.strip() != row.after.strip()
        }
        self._drawn_by, self._size = "", 0
        self._said: list[Comparison] = []
        self._read()

    def require(self, task: TaskSpec) -> None:
        """See that there is something to compare.

        Raises:
            Refusal: the judging is not finished, or its task chooses labels.
        """
        if self.found.job.kind != "judge" or read_verdict(self.found.folder) is None:
            raise Refusal("compare_unfinished", "Only a finished judging has answers to compare.")
        if task.kind != "write":
            raise Refusal(
                "compare_labels",
                "{task} chooses labels, which have a right answer: the verdict compares them.",
                task=task.name,
            )

    @property
    def winners(self) -> dict[int, Winner]:
        """Line -> what was said of it first, and not taken back."""
        found: dict[int, Winner] = {}
        for one in self._standing:
            found.setdefault(one.line, one.winner)
        return found

    @property
    def people(self) -> list[str]:
        """Who compared, sorted."""
        return sorted({one.by for one in self._standing})

    @property
    def left(self) -> int:
        """Rows that nobody has compared."""
        return len(self.rows.keys() - self.winners.keys())

    @property
    def preference(self) -> HumanPreference | None:
        """What was found; None before enough rows are compared, or all that there are."""
        winners = self.winners
        if not winners or (len(winners) < LEAST and self.left):
            return None
        verdict = read_verdict(self.found.folder) or {}
        return preference(winners.values(), float(verdict["gain"]["evidence"]["alpha"]))

    def row(self, line: int) -> BlindRow | None:
        """A row, whoever has compared it; None where there is none, or no longer."""
        row = self.rows.get(line)
        if row is None:
            return None
        answers = {"new": row.after, "old": row.before}
        first = self._first(line)
        return BlindRow(line, row.text, row.slots, answers[first], answers[_OTHER[first]])

    def next(self, by: str) -> BlindRow | None:
        """A row that nobody has compared, in an order of that person's own; None without any."""
        lines = sorted(self.rows.keys() - self.winners.keys())
        # Each row has its place by itself: another one that is compared moves none.
        key = {line: random.Random(f"{self._seed()} {by} {line}").random() for line in lines}
        return self.row(min(lines, key=key.__getitem__)) if lines else None

    def choose(self, line: int, choice: Choice, by: str) -> None:
        """Keep which answer somebody finds better.

        Raises:
            Refusal: there is no such row, or no longer.
        """
        if line not in self.rows:
            raise Refusal(
                "compare_gone",
                "There is no row {line} to compare, or it was withdrawn. Go on with the next.",
                line=line,
            )
        said = Comparison(line=line, first=self._first(line), choice=choice, by=by, at=now())
        with self._writing():
            self._append(said.model_dump_json())
            self._said.append(said)

    def undo(self, by: str) -> int | None:
        """Take back what that person said last.

        Returns:
            the row's line; None where nothing is left.
        """
        with self._writing():
            mine = [one for one in self._standing if one.by == by]
            if not mine:
                return None
            said = mine[-1].model_copy(update={"choice": "undo", "at": now()})
            self._append(said.model_dump_json())
            self._said.append(said)
            return said.line

    @property
    def _standing(self) -> list[Comparison]:
        standing: list[Comparison] = []
        for one in self._said:
            if one.choice != "undo":
                standing.append(one)
            else:
                mine = [n for n, other in enumerate(standing) if other.by == one.by]
                del standing[mine[-1]]
        return standing

    def _first(self, line: int) -> Side:
        return "new" if random.Random(f"{self._seed()} {line}").random() < 1 / 2 else "old"

    def _seed(self) -> str:
        """What the orders are drawn by. It is made at the first need, and never changes."""
        if not self._drawn_by:
            with self._writing():
                if not self._drawn_by:
                    self._drawn_by = secrets.token_hex(16)
                    self._append(json.dumps({"seed": self._drawn_by}))
        return self._drawn_by

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While nobody else writes, with what others have said by now.

        Raises:
            PatchbayError: the file cannot be written.
        """
        try:
            with FileLock(self.file.with_suffix(".lock")):
                self._read()
                yield
        except OSError as error:
            raise PatchbayError(
                f"The comparison is not kept: {self.file} cannot be written ({error}). "
                "Check that the disk has room, and choose again."
            ) from error

    def _append(self, line: str) -> None:
        """On the disk when it returns. Half a line, of a process that was killed, is cut off."""
        with self.file.open("ab") as stream:
            stream.truncate(self._size)
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            self._size = stream.tell()

    def _read(self) -> None:
        text = self.file.read_bytes() if self.file.is_file() else b""
        lines = text.split(b"\n")[:-1]
        self._size = sum(len(line) + 1 for line in lines)
        try:
            self._drawn_by = str(json.loads(lines[0])["seed"]) if lines else ""
            self._said = [Comparison.model_validate_json(line) for line in lines[1:]]
        except (ValueError, TypeError, KeyError) as error:  # pydantic's are ValueErrors
            raise InputError(
                f"{self.file} is damaged ({str(error).splitlines()[0]}). Delete it; the rows are "
                "compared anew then."
            ) from error
