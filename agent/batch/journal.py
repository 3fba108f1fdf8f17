"""The finished rows of a run, one line each, so that a run that is killed goes on where it was.

The first line has the settings. A line stands whole or not at all: half a line at the end, of a
process that was killed, is cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.batch.assignment import Assignment
from core.errors import InputError

SUFFIX = ".journal"


class BatchSettings(BaseModel):
    """All that a result depends on. Two runs with the same settings give the same result.

    Attributes:
        source: what the table's file is called; another name is no other run.
        sha256: of its bytes.
        sheet: of a workbook, where the person named one.
        form: encoding and separator, where the person named them.
        column: the one with the texts.
        engine: the base, its revision and quantization.
        tasks: fingerprints of the assignment's tasks.
        adapters: fingerprints of those that can answer for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    sha256: str
    sheet: str | None = None
    form: dict[str, str] = {}
    column: str
    assignment: Assignment
    engine: dict[str, str]
    tasks: dict[str, str]
    adapters: dict[str, str]


class RowResult(BaseModel):
    """What came of a row.

    Attributes:
        line: the row's.
        text: the answer, or the likeliest label.
        labels: label -> probability, the likeliest first; none where a text was written.
        adapter: what answered, step by step; `base` without one.
        fingerprint: of all that made the answer; the journal says of what.
        notes: what the person should know of the answer.
        error: why there is no answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: int
    text: str = ""
    labels: dict[str, float] = {}
    adapter: str = ""
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""


class Journal:
    """The journal of one run. One process has it at a time.

    Attributes:
        results: by line of the table.
        made_by: fingerprint -> what it is the fingerprint of, step by step.
        written: SHA-256 of the output as this run last wrote it, if it has.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.results: dict[int, RowResult] = {}
        self.made_by: dict[str, list[Mapping[str, str]]] = {}
        self.written = ""

    @contextmanager
    def open(self, settings: BatchSettings) -> Iterator[None]:
        """Begin it, or go on in it, until the block ends.

        Raises:
            InputError: it is another run's, another process has it, or it is damaged.
        """
        lock = FileLock(self.file.with_name(self.file.name + ".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"Another process is running {self.file} right now.") from None
        try:
            before = self.read()
            if before is not None:
                _require_same(self.file, before, settings)
            with self.file.open("ab") as stream:
                self._stream = stream
                if before is None:
                    self._add("settings", settings.model_dump(mode="json"))
                yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def read(self) -> BatchSettings | None:
        """Take in what there is, half a line at the end cut off; None where nothing was begun.

        Raises:
            InputError: it is no journal, or is damaged.
        """
        if not self.file.exists():
            return None
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.file, whole)
        settings: BatchSettings | None = None
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                [(kind, value)] = json.loads(line).items()
                match kind:
                    case "settings":
                        settings = BatchSettings(**value)
                    case "row":
                        result = RowResult(**value)
                        self.results[result.line] = result
                    case "made_by":
                        self.made_by |= value
                    case "written":
                        self.written = value
            except (ValueError, AttributeError, TypeError, ValidationError) as error:
                raise InputError(
                    f"{self.file}, line {number}, is no line of a journal. Move the file away, or "
                    "choose another output."
                ) from error
        return settings

    def add(self, result: RowResult, made_by: list[Mapping[str, str]]) -> None:
        """Keep a finished row."""
        if made_by and result.fingerprint not in self.made_by:
            self.made_by[result.fingerprint] = made_by
            self._add("made_by", {result.fingerprint: made_by})
        self.results[result.line] = result
        self._add("row", result.model_dump(mode="json", exclude_defaults=True))

    def wrote(self, sha256: str) -> None:
        """Keep what the output is now."""
        self.written = sha256
        self._add("written", sha256)

    def _add(self, kind: str, value: Any) -> None:
        line = json.dumps({kind: value}, ensure_ascii=False)
        self._stream.write(line.encode("utf-8", "surrogatepass") + b"\n")
        self._stream.flush()


def _require_same(file: Path, before: BatchSettings, now: BatchSettings) -> None:
    old, new = before.model_dump(exclude={"source"}), now.model_dump(exclude={"source"})
    if old == new:
        return
    if {**old, "sha256": ""} == {**new, "sha256": ""}:
        raise InputError(
            f"{now.source} has changed since this run was begun, and {file} has results of what it "
            "was. Bring the file back as it was, or choose another output."
        )
    differ = "; ".join(
        f"{name}: {old[name]!r}, now {new[name]!r}" for name in old if old[name] != new[name]
    )
    raise InputError(
        f"{file} belongs to a run with other settings ({differ}). Choose another output."
    )
