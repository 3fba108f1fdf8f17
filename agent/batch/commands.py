"""`python -m agent batch`: a task done with a column of a table."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.agent import Agent
from agent.batch.assignment import Assignment, column_in, of_request, of_task, said
from agent.batch.journal import SUFFIX, Journal, RowResult
from agent.batch.output import check_output, merged, write_output
from agent.batch.run import BatchRun, Progress
from agent.batch.table import Table, read_table
from core import fingerprint
from core.errors import InputError, PatchbayError
from core.settings import Settings, load_settings
from core.terminal import aside
from tasks.data_files import FileForm
from tasks.spec import TaskSpec, find_task, load_tasks

SHOWN_FAILURES = 20
SAY_SECONDS = 10.0  # between two lines of progress where no terminal can draw over the last
STOPPED = 130  # as Ctrl-C ends a program


def batch(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, JSONL or Parquet, any encoding")],
    output: Annotated[Path, typer.Option(help="where the result goes: .csv, .tsv, .xlsx, .jsonl")],
    task: Annotated[str | None, typer.Option(help="what to do with each text, by name")] = None,
    request: Annotated[
        str | None, typer.Option(help='or in words: "translate column text into French"')
    ] = None,
    column: Annotated[str | None, typer.Option(help="the column with the texts")] = None,
    slot: Annotated[
        list[str] | None,
        typer.Option(help="of the task, as name=value: target=French, labels=sports,politics"),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="of a workbook; its first by default")] = None,
    encoding: Annotated[str | None, typer.Option(help="of the file; found out by default")] = None,
    delimiter: Annotated[str | None, typer.Option(help="one character, or tab")] = None,
    profile: Annotated[str | None, typer.Option(help="auto, starter, gpu, or a YAML file")] = None,
    engine: Annotated[Literal["real", "fake"], typer.Option(hidden=True)] = "real",
) -> None:
    """Do a task with the text of every row; a run that ended early goes on where it was."""
    tasks = load_tasks()
    chosen = find_task(tasks, task) if task else None
    if (chosen is None) == (request is None):
        raise InputError("Say what to do with each text: either --task, or --request in words.")
    if slot and not chosen:
        raise InputError("--slot belongs to --task. Say it in the --request, in words.")
    form = FileForm(encoding=encoding, delimiter=delimiter, sheet=sheet)
    table = read_table(file, form, columns=[column] if column else [])
    check_output(output, table)
    found, wish = column_in(request or "", table.columns)
    column = _column(table, column, found)
    settings = load_settings(profile=profile)
    for note in table.notes:
        aside(note.english)
    agent = _agent(settings, engine)
    try:
        texts = (row.text(column) for row in table.rows if row.text(column).strip())
        assignment = (
            _named(agent, chosen, slot or [])
            if chosen
            else of_request(wish, next(texts, "text"), agent.planner)
        )
        run = BatchRun(agent, table, column, assignment, form=form)
        aside(f"{said(assignment)} · column {column!r} · {len(table.rows):,} rows")
        journal = Journal(output.with_name(output.name + SUFFIX))
        _check_free(output, journal)
        with journal.open(run.settings):
            _require_unchanged(output, journal)
            finished = _run(run, journal)
            if finished:
                _write(output, run, journal)
    finally:
        agent.close()
    if not finished:
        raise typer.Exit(STOPPED)


def _column(table: Table, said: str | None, found: str | None) -> str:
    """The column that the person named, in the request or apart, or the only one.

    Raises:
        InputError: nobody named one, or it is not there.
    """
    if said or found:
        table.require(said or found or "")
        return said or found or ""
    if len(table.columns) == 1:
        return table.columns[0]
    raise InputError(
        f"Which column has the texts? Say --column NAME; {table.name} has "
        f"{', '.join(table.columns)}."
    )


def _agent(settings: Settings, engine: str) -> Agent:
    from agent.build import assemble, build_agent

    if engine == "fake":
        from engine.fake import FakeEngine

        return assemble(FakeEngine(delay=0.01), settings)
    return build_agent(settings, lambda line: aside(line + " …"))


def _named(agent: Agent, task: TaskSpec, slots: list[str]) -> Assignment:
    pairs = [one.partition("=") for one in slots]
    if wrong := [name for name, sign, _ in pairs if not sign]:
        raise InputError(f"--slot {wrong[0]!r}: write name=value, for example target=French.")
    return of_task(task, {name: value for name, _, value in pairs}, agent.planner)


def _check_free(output: Path, journal: Journal) -> None:
    if output.exists() and not journal.file.exists():
        raise InputError(
            f"{output} is there already, and no {journal.file.name} beside it says that it is of "
            "this run. Choose another --output."
        )


def _require_unchanged(output: Path, journal: Journal) -> None:
    if output.exists() and fingerprint.sha256_file(output) != journal.written:
        raise InputError(
            f"{output} was changed since it was written, and would be written over. Move it away, "
            "or choose another --output."
        )


def _run(run: BatchRun, journal: Journal) -> bool:
    """Whether all rows are finished; False after Ctrl-C."""
    if before := len(journal.results):
        aside(f"Going on after {before:,} finished rows.")
    said_at = 0.0
    with _stopped_by_ctrl_c() as stop:
        for _ in run.run(journal, stop):
            every = 0.2 if sys.stderr.isatty() else SAY_SECONDS
            if time.monotonic() - said_at > every:
                said_at = time.monotonic()
                _say(run.progress(journal))
    progress = run.progress(journal)
    _say(progress, last=True)
    if progress.done < progress.total:
        aside(
            f"Stopped after {progress.done:,} of {progress.total:,} rows. They are kept in "
            f"{journal.file}; the same command goes on from there."
        )
        return False
    return True


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """The first Ctrl-C lets the run come to rest, the second ends it at once."""
    stop = threading.Event()

    def first(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _say(progress: Progress, last: bool = False) -> None:
    line = progress_line(progress)
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
    else:
        aside(line)


def progress_line(progress: Progress) -> str:
    """How far a run is, in a line."""
    parts = [f"{progress.done:,} of {progress.total:,} rows"]
    if progress.failed:
        parts.append(f"{progress.failed:,} without an answer")
    if progress.rows_per_second and progress.done < progress.total:
        parts.append(f"{progress.rows_per_second:.1f} rows a second")
    if progress.seconds_left:
        parts.append(f"{time_left(progress.seconds_left)} left")
    return " · ".join(parts)


def time_left(seconds: float) -> str:
    """As a person says it: 40 s, 6 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _write(output: Path, run: BatchRun, journal: Journal) -> None:
    names = run.columns
    try:
        write_output(
            output,
            [*run.table.columns, *names.values()],
            merged(run.table, journal.results, names),
        )
    except OSError as error:
        raise PatchbayError(
            f"{output} cannot be written: {error.strerror or error}. All rows are kept in "
            f"{journal.file}; the same command writes it."
        ) from error
    journal.wrote(fingerprint.sha256_file(output))
    aside(f"Written to {output}.")
    _list_failures([one for one in journal.results.values() if one.error], names["note"])


def _list_failures(failed: list[RowResult], column: str) -> None:
    if not failed:
        return
    aside(f"{len(failed):,} rows have no answer:")
    for result in sorted(failed, key=lambda one: one.line)[:SHOWN_FAILURES]:
        aside(f"  line {result.line}: {result.error}")
    if len(failed) > SHOWN_FAILURES:
        aside(f"  … and {len(failed) - SHOWN_FAILURES:,} more; column {column!r} says why.")
