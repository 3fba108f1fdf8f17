"""The rows of a table through the agent's steps, many together, behind all people."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice

from agent.agent import Agent
from agent.batch.assignment import Assignment
from agent.batch.journal import BatchSettings, Journal, RowResult
from agent.batch.output import result_columns
from agent.batch.table import Table, TableRow
from agent.cleaning import clean
from agent.options import DEFAULT_OPTIONS, TurnOptions
from agent.turn_record import TurnRecord
from core import fingerprint
from core.errors import (
    AdapterError,
    Draining,
    EngineAway,
    EngineBusy,
    InputError,
    NotAllowed,
    PatchbayError,
    SetupError,
    UnknownName,
)
from tasks.data_files import FileForm

DIGITS = 6  # of a probability that are kept
# Not the row's fault: another row would fare no better, and this one may fare well later.
ENDS_THE_RUN = (
    AdapterError, Draining, EngineAway, EngineBusy, NotAllowed, SetupError, UnknownName,
)  # fmt: skip
CUT = {
    "length": "The answer was cut off at the length limit.",
    "time": "The answer was cut off at the time limit.",
}


@dataclass(frozen=True)
class Progress:
    """How far a run is. `seconds_left` is None until that can be told."""

    done: int
    total: int
    failed: int
    rows_per_second: float = 0.0
    seconds_left: float | None = None


class BatchRun:
    """A table, a column and what is to be done with it.

    Attributes:
        settings: all that the result depends on.
    """

    def __init__(
        self,
        agent: Agent,
        table: Table,
        column: str,
        assignment: Assignment,
        options: TurnOptions = DEFAULT_OPTIONS,
        form: FileForm | None = None,
    ) -> None:
        """`options` say who asks.

        Raises:
            UnknownName: there is no such column.
        """
        table.require(column)
        self.table, self.column, self.assignment = table, column, assignment
        self.agent = agent
        self.settings = settings_of(agent, table, column, assignment=assignment, form=form)
        self._options = replace(options, batch=secrets.token_hex(8))
        self._meter = Meter()

    def run(
        self, journal: Journal, stop: threading.Event, most: int | None = None
    ) -> Iterator[RowResult]:
        """Finish rows that are not in the journal, and give each once it is in it.

        It ends when there are none left, or `stop` is set; go on by calling it again.

        Args:
            journal: open.
            most: so many of the table's first rows only.

        Raises:
            PatchbayError: no row can be answered at this time.
        """
        todo = [row for row in self.table.rows[:most] if row.line not in journal.results]
        self._meter.begin()
        for result, made_by in self._together(todo, stop):
            journal.add(result, made_by)
            self._meter.count()
            yield result

    @property
    def labels(self) -> list[str]:
        """What the last task chooses from; none where it writes."""
        last = self.assignment.steps[-1]
        task = self.agent.tasks[last.task]
        return task.own_labels(last.slots) or list(task.labels)

    @property
    def columns(self) -> dict[str, str]:
        """What the columns of the results are called, see `result_columns`."""
        return result_columns(self.table, self.assignment.steps[-1].task, self.labels)

    def progress(self, journal: Journal) -> Progress:
        """How far it is."""
        return self._meter.progress(journal, len(self.table.rows))

    def _together(
        self, todo: Sequence[TableRow], stop: threading.Event
    ) -> Iterator[tuple[RowResult, list[Mapping[str, str]]]]:
        ending = threading.Event()  # ours: whoever iterates may leave
        most = self.agent.engine.rows_together
        pool = ThreadPoolExecutor(most, thread_name_prefix="table")
        running: set[Future[tuple[RowResult, list[Mapping[str, str]]] | None]] = set()
        waiting = iter(todo)
        try:
            while not stop.is_set():
                for row in islice(waiting, most - len(running)):
                    running.add(pool.submit(self._answer, row, ending))
                if not running:
                    return
                done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                yield from (finished for one in done if (finished := one.result()))
        finally:
            ending.set()
            pool.shutdown(cancel_futures=True)

    def _answer(
        self, row: TableRow, stop: threading.Event
    ) -> tuple[RowResult, list[Mapping[str, str]]] | None:
        """What comes of a row, and of what its fingerprint is; None where it was stopped."""
        try:
            if row.broken:
                raise InputError(row.broken)
            if not row.text(self.column).strip():
                raise InputError(f"The cell of column {self.column!r} is empty.")
            plan = self.assignment.plan(clean(row.text(self.column)), self.agent.tasks)
            record = TurnRecord()
            for event in self.agent.run_row(plan, stop=stop, options=self._options):
                record.apply(event)
        except ENDS_THE_RUN:
            raise
        except PatchbayError as error:
            return RowResult(line=row.line, error=str(error)), []
        if record.finished is None or record.finished.stopped == "stop" or stop.is_set():
            return None
        prints: list[Mapping[str, str]] = [result.fingerprints for result in record.results]
        notes = [notice.message for notice in record.notices]
        notes += [CUT[record.finished.stopped]] if record.finished.stopped in CUT else []
        result = RowResult(
            line=row.line,
            text=record.finished.text,
            labels={k: round(v, DIGITS) for k, v in record.finished.labels.items()},
            adapter=" → ".join(step.adapter or "base" for step in record.started),
            fingerprint=fingerprint.of_value(prints),
            notes=tuple(notes),
        )
        return result, prints


def settings_of(
    agent: Agent, table: Table, column: str, *, assignment: Assignment, form: FileForm | None
) -> BatchSettings:
    """All that the result depends on."""
    form = form or FileForm()
    tasks = [agent.tasks[step.task] for step in assignment.steps]
    adapters = agent.engine.adapters
    serving = {
        name
        for name in adapters.names()
        if any(name in task.adapters or adapters.task(name) == task.name for task in tasks)
        or adapters.scope(name).any_task
    }
    said = {"encoding": form.encoding, "delimiter": form.delimiter}
    return BatchSettings(
        source=table.name,
        sha256=table.sha256,
        sheet=form.sheet,
        form={name: value for name, value in said.items() if value},
        column=column,
        assignment=assignment,
        engine=agent.engine.fingerprints(),
        tasks={task.name: task.fingerprint for task in tasks},
        adapters={name: adapters.fingerprint(name) for name in sorted(serving)},
    )


class Meter:
    """How fast rows come, by the last minute."""

    WINDOW = 60.0  # seconds

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._began = time.monotonic()

    def begin(self) -> None:
        """Measure from now on."""
        self._began = time.monotonic()
        self._times.clear()

    def count(self) -> None:
        """A row was finished."""
        self._times.append(time.monotonic())

    def progress(self, journal: Journal, total: int) -> Progress:
        """How far a run is, and how long it takes if it goes on so."""
        done, now = len(journal.results), time.monotonic()
        while self._times and now - self._times[0] > self.WINDOW:
            self._times.popleft()
        failed = sum(1 for result in list(journal.results.values()) if result.error)
        rate = len(self._times) / max(1e-3, min(self.WINDOW, now - self._began))
        left = (total - done) / rate if rate else None
        left = 0.0 if done == total else left
        return Progress(done, total, failed, rows_per_second=rate, seconds_left=left)
