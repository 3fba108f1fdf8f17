"""Tables of the page's visitors, kept where Patchbay runs while they are worked on.

Each is a folder with a name that nobody can guess: the file, what is to be done, the journals. It
is its owner's alone, and goes when that person removes it, or some days after it was last used.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from agent.agent import Agent
from agent.batch.assignment import Assignment
from agent.batch.journal import SUFFIX, Journal, RowResult
from agent.batch.run import BatchRun, Progress
from agent.batch.table import Table, read_upload
from agent.fair_queue import FairQueue
from agent.options import TurnOptions
from core import fingerprint
from core.errors import InputError, PatchbayError, TooMany, UnknownName
from documents.limits import TABLE_LIMITS

log = logging.getLogger(__name__)

MAX_TABLE_BYTES = TABLE_LIMITS.file_bytes
MAX_UNPACKED_BYTES = 300_000_000  # of a workbook
MAX_ROWS = 200_000
MAX_KEPT = 200  # tables of all visitors
KEPT_SECONDS = 7 * 86_400  # after the last use
PREVIEW_ROWS = 5
TABLES_WAITING, TABLES_EACH = 32, 2  # in the line of tables; of one visitor
ID = re.compile(r"[0-9a-f]{32}")
TOUCH = "table.json"
State = Literal["new", "waiting", "running", "paused", "stopped", "finished", "failed"]


class KeptFacts(BaseModel):
    """What is known of a table beside its file and journals.

    Attributes:
        name: of the file, as the visitor calls it.
        owner: who may see it, where visitors have names.
        column, assignment: what is done, once that is chosen.
        request: the words that say so, where it was written.
        corrections: of each thing that was done, line -> the right label, by the visitor.
        begun: the visitor has had more than the first rows run.
        stopped: ended by the visitor before its last row.
    """

    name: str
    owner: str
    suffix: str
    column: str = ""
    assignment: Assignment | None = None
    request: str = ""
    corrections: dict[str, dict[int, str]] = {}
    begun: bool = False
    stopped: bool = False


class KeptTables:
    """All of them. Safe to use from many threads."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent, self.folder = agent, folder
        self.line = FairQueue(1, TABLES_WAITING, TABLES_EACH)
        self._open: dict[str, KeptTable] = {}
        self._lock = threading.Lock()

    def add(self, file: Path, name: str, owner: str) -> KeptTable:
        """Take a file over, which is then gone from where it was.

        Raises:
            InputError: it is no table that can be read, or too large.
            TooMany: there is no room.
        """
        self.sweep()
        if self.folder.exists() and sum(1 for _ in self.folder.iterdir()) >= MAX_KEPT:
            raise TooMany("There is no room for more tables here. Remove one, or come back later.")
        if file.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(
                f"{name} has {file.stat().st_size / 1e6:,.0f} MB; at most "
                f"{MAX_TABLE_BYTES / 1e6:.0f} MB are taken here. `python -m agent batch` takes any."
            )
        _require_unpacked_small(file, name)
        key, facts = secrets.token_hex(16), KeptFacts(name=name, owner=owner, suffix=_suffix(name))
        folder = self.folder / key
        folder.mkdir(parents=True, mode=0o700)
        try:
            shutil.move(file, folder / f"table{facts.suffix}")
            kept = KeptTable(self, key, facts)
            if len(kept.table.rows) > MAX_ROWS:
                raise InputError(f"{name} has more than {MAX_ROWS:,} rows. Send it in parts.")
            kept.save()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._open[key] = kept
        return kept

    def get(self, key: str, owner: str) -> KeptTable:
        """The table of that id.

        Raises:
            InputError: there is none, or it is somebody else's.
        """
        with self._lock:
            kept = self._open.get(key)
            if kept is None and ID.fullmatch(key) and (self.folder / key / TOUCH).exists():
                text = (self.folder / key / TOUCH).read_text(encoding="utf-8")
                kept = self._open[key] = KeptTable(self, key, KeptFacts.model_validate_json(text))
        if kept is None or kept.facts.owner != owner:
            raise InputError("This table is not here any more. Choose the file again.")
        return kept

    def remove(self, key: str, owner: str) -> None:
        """Stop it, and delete all that is kept of it. Raises as `get`."""
        kept = self.get(key, owner)
        kept.halt()
        with self._lock:
            self._open.pop(key, None)
        shutil.rmtree(kept.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what nobody has used for days."""
        now = time.time()
        for folder in self.folder.glob("*") if self.folder.exists() else ():
            facts, running = folder / TOUCH, self._open.get(folder.name)
            used = (facts if facts.exists() else folder).stat().st_mtime
            if now - used > KEPT_SECONDS and not (running and running.busy):
                self._open.pop(folder.name, None)
                shutil.rmtree(folder, ignore_errors=True)


class KeptTable:
    """One of them.

    `error` says why its run ended, where it failed; `position` is its in the line of tables.
    """

    def __init__(self, tables: KeptTables, key: str, facts: KeptFacts) -> None:
        self.key, self.facts, self.folder = key, facts, tables.folder / key
        self.error, self.position = "", 0
        self._tables = tables
        self._lock = threading.Lock()
        self._run: BatchRun | None = None
        self._journal: Journal | None = None
        self._thread: threading.Thread | None = None
        self._halt = threading.Event()

    @cached_property
    def table(self) -> Table:
        """The table, read once."""
        return read_upload(self.folder / f"table{self.facts.suffix}", self.facts.name)

    @property
    def busy(self) -> bool:
        """Whether it runs or waits to."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def state(self) -> State:
        """How far it is."""
        if self.busy:
            return "waiting" if self.position else "running"
        if not self.results:
            return "failed" if self.error else "new"
        if len(self.results) == len(self.table.rows):
            return "finished"
        if self.error:
            return "failed"
        return "stopped" if self.facts.stopped else "paused"

    @property
    def results(self) -> Mapping[int, RowResult]:
        """By line, as far as they are finished."""
        return dict(self._ready()[1].results) if self.facts.assignment else {}

    @property
    def corrections(self) -> dict[int, str]:
        """Line -> the right label, by the visitor, of what is done now."""
        now = self.facts.model_dump(include={"column", "assignment"})
        return self.facts.corrections.setdefault(fingerprint.of_value(now), {})

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        run, journal = self._ready()
        return run.progress(journal)

    @property
    def labels(self) -> list[str]:
        """What its last task chooses from; none where that writes."""
        return self._ready()[0].labels if self.facts.assignment else []

    @property
    def columns(self) -> dict[str, str]:
        """What the columns of its results are called, see `result_columns`."""
        return self._ready()[0].columns

    def choose(self, column: str, assignment: Assignment, request: str = "") -> None:
        """Say what is to be done, as a `request` where that was written. What is finished of the
        same is kept.

        Raises:
            InputError: there is no such column, or it runs.
        """
        self.table.require(column)
        if self.busy:
            raise InputError("The table is being worked on. Stop that first.")
        if (column, assignment) != (self.facts.column, self.facts.assignment):
            self.facts.column, self.facts.assignment = column, assignment
            self.facts.begun = False
            self._run = self._journal = None
        self.error, self.facts.stopped, self.facts.request = "", False, request
        self.save()

    def preview(self, options: TurnOptions) -> None:
        """Finish the first rows.

        Raises:
            PatchbayError: they cannot be answered at this time.
        """
        run, journal = self._ready(options)
        with journal.open(run.settings):
            for _ in run.run(journal, threading.Event(), most=PREVIEW_ROWS):
                pass

    def start(self, options: TurnOptions) -> None:
        """Finish the rest in a thread; see `state` and `error` for how that goes."""
        with self._lock:
            if self.busy:
                return
            self.error, self.facts.stopped, self.facts.begun = "", False, True
            self.save()
            self._halt = threading.Event()
            run, journal = self._ready(options)
            self.position = 1
            self._thread = threading.Thread(
                target=self._finish, args=(run, journal, options, self._halt), daemon=True
            )
            self._thread.start()

    def halt(self, stopped: bool = False) -> None:
        """Let it come to rest, and wait for that. `start` goes on.

        Args:
            stopped: the visitor does not mean to go on.
        """
        self.facts.stopped = stopped
        self._halt.set()
        if self._thread is not None:
            self._thread.join()
        if self.folder.exists():
            self.save()

    def correct(self, line: int, label: str) -> None:
        """Keep the right label of a row.

        Raises:
            UnknownName: it is none of the labels.
        """
        if label not in self.labels:
            raise UnknownName("label", label, self.labels)
        self.corrections[line] = label
        self.save()

    def corrected(self) -> dict[int, RowResult]:
        """The results with the visitor's corrections in place, each with a note."""
        results = dict(self.results)
        for line, label in self.corrections.items():
            if (was := results.get(line)) and was.text != label:
                note = f"Corrected by hand: it was {was.text}."
                results[line] = was.model_copy(update={"text": label, "notes": (note,)})
        return results

    def save(self) -> None:
        """Keep the facts on disk, whole or not at all."""
        file = self.folder / TOUCH
        beside = file.with_suffix(".new")
        beside.write_text(self.facts.model_dump_json(), encoding="utf-8")
        beside.replace(file)

    def _ready(self, options: TurnOptions | None = None) -> tuple[BatchRun, Journal]:
        assert self.facts.assignment
        if self._run is None or self._journal is None or options is not None:
            run = BatchRun(
                self._tables.agent,
                self.table,
                column=self.facts.column,
                assignment=self.facts.assignment,
                options=options or TurnOptions(),
            )
            # Results of other settings stand in a journal of their own, and are found again.
            name = fingerprint.of_value(run.settings.model_dump(mode="json", exclude={"source"}))
            if self._journal is None or self._journal.file.name != name + SUFFIX:
                self._journal = Journal(self.folder / (name + SUFFIX))
                self._journal.read()
            self._run = run
        return self._run, self._journal

    def _finish(
        self, run: BatchRun, journal: Journal, options: TurnOptions, halt: threading.Event
    ) -> None:
        try:
            with self._tables.line.enqueue(options.visitor, halt) as positions:
                for position in positions:
                    self.position = position
                self.position = 0
                if not halt.is_set():
                    with journal.open(run.settings):
                        for _ in run.run(journal, halt):
                            pass
        except PatchbayError as error:
            self.error = str(error)
        except Exception:  # a bug: the page must still come to rest
            log.exception("A table ended unexpectedly")
            self.error = "Something unexpected went wrong on the server."


def _require_unpacked_small(file: Path, name: str) -> None:
    """See that a workbook, which is packed, does not unpack to more than is in memory.

    Raises:
        InputError: it does.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as packed:
        size = sum(part.file_size for part in packed.infolist())
    if size > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{name} unpacks to {size / 1e6:,.0f} MB; at most {MAX_UNPACKED_BYTES / 1e6:.0f} MB "
            "are taken here. Save it as CSV."
        )


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z]{1,8}", suffix) else ".csv"
