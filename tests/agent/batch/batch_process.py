"""A run over a table in a process of its own, on the fake engine, for tests that kill it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from agent.agent import Agent
from agent.batch.assignment import of_task
from agent.batch.journal import SUFFIX, Journal
from agent.batch.output import merged, write_output
from agent.batch.run import BatchRun
from agent.batch.table import read_table
from engine.fake import FakeEngine
from tasks.spec import load_tasks

PLANNER: Any = None  # a task by its name needs none


def finish_table(file: Path, output: Path) -> None:
    """As `python -m agent batch` does it."""
    agent = Agent(FakeEngine(delay=0.02), load_tasks(), PLANNER)
    table = read_table(file)
    run = BatchRun(agent, table, "text", of_task(agent.tasks["sentiment"], {}, PLANNER))
    journal = Journal(output.with_name(output.name + SUFFIX))
    with journal.open(run.settings):
        for _ in run.run(journal, threading.Event()):
            pass
        names = run.columns
        rows = merged(table, journal.results, names)
        write_output(output, [*table.columns, *names.values()], rows)
