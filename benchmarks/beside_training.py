"""The chat's first token while the workshop trains, beside its quiet time.

    python -m benchmarks.beside_training sst2/train.jsonl --output results/beside-training.json

The same requests, one after another: on a quiet machine, while a job trains on rows of the file,
and quiet again. Seconds until a request's first words, or its label, are there. The job is a
process of its own, as from the page; its folder is a temporary one.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from agent.agent import Agent
from agent.build import build_agent
from agent.events import StepFinished, TextDelta
from benchmarks.loop import own_home, reviewed
from core.settings import load_settings
from core.terminal import aside
from tasks.spec import load_tasks
from workshop.curves import read_curves
from workshop.jobs import JobFolder, Jobs
from workshop.training import TrainingWish, plan_training

ROUNDS, PAUSE, WAIT = 6, 0.5, 300  # times each request is asked; seconds between two; for the job
REQUESTS = (
    "What is a good way to learn the names of birds?",
    "/sentiment The rooms were clean, but nobody at the desk would help us. (visit {})",
    "Translate into French: the boat leaves at {} past nine.",
    "/summarize The council met on Monday. It talked about the bridge for {} hours, and put the "
    "decision off until spring, when the river is lower and the engineers can look at the piers.",
    "把这句话翻译成英文：第{}号窗口今天不开。",
)


def main(
    file: Annotated[Path, typer.Argument(help="JSON lines to train on")],
    text: Annotated[str, typer.Option(help="column with the texts")] = "text",
    label: Annotated[str, typer.Option(help="column with the right labels")] = "label",
    task: Annotated[str, typer.Option()] = "sentiment",
    rows: Annotated[int, typer.Option()] = 400,
    output: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Print medians, and their ratio."""
    known = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:rows]]
    agent = build_agent(load_settings(profile="starter"), aside)
    with closing(agent), own_home():
        jobs = Jobs()
        chosen = reviewed([(row[text], row[label]) for row in known], 10, load_tasks()[task])
        found = plan_training(jobs, chosen, TrainingWish(start=task, epochs=9), "benchmark")
        _first_tokens(agent, 1)  # loads the adapters
        before = _first_tokens(agent, ROUNDS)
        jobs.start(found.folder.name)
        _until(lambda: found.state.status == "ready", found)
        jobs.start(found.folder.name, release=True)
        _until(lambda: _steps(found) > 0, found)
        beside = _first_tokens(agent, ROUNDS)
        if found.state.status != "running":
            raise RuntimeError(
                f"The training ended too early: {found.state.status}. Give more rows."
            )
        jobs.stop(found.folder.name)
        _until(lambda: found.state.status == "stopped", found)
        after = _first_tokens(agent, ROUNDS)
    quiet, busy = statistics.median(before + after), statistics.median(beside)
    figures = {
        "requests": len(beside),
        "seconds, before": round(statistics.median(before), 4),
        "seconds, beside a training": round(busy, 4),
        "seconds, after": round(statistics.median(after), 4),
        "beside / quiet": round(busy / quiet, 3),
        "nine of ten beside / nine of ten quiet": round(
            _nine_of_ten(beside) / _nine_of_ten(before + after), 3
        ),
    }
    print(json.dumps(figures, indent=1))
    if output:
        output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _first_tokens(agent: Agent, rounds: int) -> list[float]:
    return [_first_token(agent, one.format(n)) for n in range(rounds) for one in REQUESTS]


def _first_token(agent: Agent, request: str) -> float:
    time.sleep(PAUSE)
    began, first = time.perf_counter(), 0.0
    for event in agent.answer(request):
        if isinstance(event, (TextDelta, StepFinished)) and not first:
            first = time.perf_counter() - began
    return first


def _steps(found: JobFolder) -> int:
    curves = read_curves(found.job.adapter)
    return len(curves.train) if curves else 0


def _until(reached: Callable[[], bool], found: JobFolder) -> None:
    for _ in range(WAIT):
        if reached():
            return
        time.sleep(1)
    raise RuntimeError(f"{found.state.status} after {WAIT} s:\n{found.log()}")


def _nine_of_ten(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=10)[-1]


if __name__ == "__main__":
    typer.run(main)
