"""Rows a second: a table run together, its rows one after another, and transformers' pipeline.

    python -m benchmarks.batch reviews.csv --column text                  # 200 rows of the table
    python -m benchmarks.batch reviews.csv --column text --rows 10000 --one-by-one 200

All take turns over the same rows, in rounds, on the same cores, so that whatever else the machine
does is shared by all; `one_by_one` asks the agent for a row when it has answered the one before,
without saying which words decided. The pipeline is transformers' text-classification pipeline over
random weights in float32, in the shape of distilbert-base and in that of the starter base with a
classifier's head, rows sorted by length, 32 in a batch. `chat_first_token_ms` is the wait for a
chat's first text, quiet and with a table beside it. The last line on standard output is one JSON
object.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.agent import Agent
from agent.batch.assignment import of_task
from agent.batch.journal import Journal
from agent.batch.run import BatchRun
from agent.batch.table import Table, read_table
from agent.build import build_agent
from agent.events import TextDelta
from benchmarks.speed import machine
from core.errors import InputError
from core.settings import load_settings
from core.terminal import aside

TASK = "sentiment"
PIPELINE_BATCH = 32
CHAT = "/chat Tell me one thing about the sea."
CHAT_PAUSE = 0.3  # seconds between two chats
Classify = Callable[[Sequence[str]], int]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    file: Annotated[Path, typer.Argument(help="a table with texts")],
    column: Annotated[str, typer.Option(help="the column with the texts")] = "text",
    rows: Annotated[int, typer.Option(help="of the table, run together")] = 200,
    one_by_one: Annotated[int, typer.Option(help="rows that are asked one after another")] = 60,
    rounds: Annotated[int, typer.Option(help="turns that each takes")] = 4,
    chats: Annotated[int, typer.Option(help="chats beside the table, and without it")] = 8,
    profile: Annotated[str, typer.Option(help="settings")] = "starter",
) -> None:
    """Measure."""
    whole = read_table(file, columns=[column])
    table = Table(whole.name, whole.sha256, whole.columns, whole.rows[:rows], ())
    texts = [row.text(column) for row in table.rows if row.text(column).strip()]
    agent = build_agent(load_settings(profile=profile), aside)
    list(agent.perform(texts[0], task=TASK, slots={}))
    measured = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        with _run(agent, table, column, Path(folder) / "journal") as together:
            pipelines = _pipelines(agent.engine.fingerprints()["base"])
            for number in range(rounds):
                share = texts[number::rounds][: max(1, one_by_one // rounds)]
                measured.add("one_by_one", _one_by_one, agent, share)
                measured.add("together", together, (number + 1) * len(table.rows) // rounds)
                for name, classify in pipelines.items():
                    measured.add(name, classify, texts[number::rounds])
        quiet = _chats(agent, chats)
        with _busy(agent, table, column, Path(folder) / "beside"):
            beside = _chats(agent, chats)
    agent.close()
    found = {
        "machine": machine(),
        "rows": len(table.rows),
        "words": round(statistics.mean(len(text.split()) for text in texts), 1),
        **measured.summary(),
        "chat_first_token_ms": {
            "quiet": round(statistics.median(quiet) * 1000),
            "beside_a_table": round(statistics.median(beside) * 1000),
        },
    }
    print(json.dumps(found))


class Rounds:
    """Rows a second of each way, round by round."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._rows: dict[str, list[int]] = defaultdict(list)

    def add(self, way: str, work: Callable[..., int], *arguments: Any) -> None:
        """Do one way's work of a round, which returns how many rows it was."""
        began, done = time.perf_counter(), work(*arguments)
        self._seconds[way].append(time.perf_counter() - began)
        self._rows[way].append(done)
        aside(f"{way}: {self._speeds(way)[-1]:.2f} rows a second")

    def summary(self) -> dict[str, Any]:
        """Of all rounds, and how many times as quick rows are together, in each round too."""
        means = {way: sum(self._rows[way]) / sum(self._seconds[way]) for way in self._rows}
        each = zip(self._speeds("together"), self._speeds("one_by_one"), strict=True)
        return {
            "rows_a_second": {way: round(mean, 2) for way, mean in means.items()},
            "together_by": {
                way: round(means["together"] / mean, 2)
                for way, mean in means.items()
                if way != "together"
            },
            "by_one_by_one_in_each_round": [round(one / other, 2) for one, other in each],
        }

    def _speeds(self, way: str) -> list[float]:
        return [n / s for n, s in zip(self._rows[way], self._seconds[way], strict=True)]


def _one_by_one(agent: Agent, texts: Sequence[str]) -> int:
    for text in texts:
        list(agent.perform(text, task=TASK, slots={}))
    return len(texts)


@contextmanager
def _run(agent: Agent, table: Table, column: str, file: Path) -> Iterator[Callable[[int], int]]:
    """What finishes so many first rows of a table, as far as they are not."""
    run = BatchRun(agent, table, column, of_task(agent.tasks[TASK], {}, agent.planner))
    journal = Journal(file)
    with journal.open(run.settings):
        yield lambda first: sum(1 for _ in run.run(journal, threading.Event(), most=first))


def _chats(agent: Agent, count: int) -> list[float]:
    """Seconds until the first text of each."""
    waits = []
    for number in range(count):
        began, stop = time.perf_counter(), threading.Event()
        for event in agent.answer(f"{CHAT} ({number})", stop=stop, explain=False):
            if isinstance(event, TextDelta):
                waits.append(time.perf_counter() - began)
                break
        stop.set()
        time.sleep(CHAT_PAUSE)
    return waits


@contextmanager
def _busy(agent: Agent, table: Table, column: str, file: Path) -> Iterator[None]:
    """A table runs, over and over, until the block ends."""
    stop = threading.Event()
    assignment = of_task(agent.tasks[TASK], {}, agent.planner)

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            journal = Journal(file.with_suffix(f".{number}"))
            run = BatchRun(agent, table, column, assignment)
            with journal.open(run.settings):
                list(run.run(journal, stop))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(1)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _pipelines(base: str) -> dict[str, Classify]:
    """transformers' pipelines: random weights cost what trained ones cost."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DistilBertConfig,
        pipeline,
    )

    from engine.starter import starter_named

    starter = starter_named(base)
    if starter is None:
        raise InputError(f"{base} is no starter base, and its tokenizer is not at hand.")
    tokenizer: Any = AutoTokenizer.from_pretrained(starter.path)
    configs: dict[str, Any] = {
        "distilbert": DistilBertConfig(vocab_size=len(tokenizer)),
        "starter": AutoConfig.from_pretrained(starter.path),
    }

    def prepared(config: Any) -> Classify:
        config.num_labels = 3
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
        model.config.pad_token_id = tokenizer.pad_token_id
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")

        def work(texts: Sequence[str]) -> int:
            return len(list(classify(sorted(texts, key=len), batch_size=PIPELINE_BATCH)))

        return work

    return {f"pipeline_{name}": prepared(config) for name, config in configs.items()}


if __name__ == "__main__":
    app()
