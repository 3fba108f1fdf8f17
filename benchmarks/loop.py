"""From reviewed rows to a judged adapter, as the workshop does it: accuracy, time, the verdict.

    python -m benchmarks.loop banking77/train.jsonl --label intent \
        --group cards=card_arrival,lost_or_stolen_card --group transfers=failed_transfer,... \
        --rows 25,50,100,200 --seeds 5 --output results/loop.json

Rows of a file are drawn: some to judge on, others to learn from, each reviewed with its right
answer. The labels, or groups of them, are a list of one's own that the shipped adapter has to read.
It is trained on, judged beside the shipped adapter on the same rows, and beside TF-IDF with
logistic regression on the rows that were learnt. In a Patchbay folder of its own, that is deleted.
With `--order worth` the rows to learn from are the first of `POOL` in the order of review, after
the adapter in place has answered them all; else they are drawn at random.

What is in the output stands, and is not run again. The curve in it is the mean over seeds with its
95% interval (Student's t).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy import stats

from agent.build import build_agent
from agent.events import Failed, StepFinished
from core.settings import load_settings
from core.terminal import aside
from evaluation import record
from tasks.spec import TaskSpec, find_task, load_tasks
from workshop.jobs import JobFolder, Jobs, python_module
from workshop.judging import HELD_OUT, RUNS, plan_judging
from workshop.order import ordered
from workshop.rows import ReviewRow, ReviewStore
from workshop.selection import Selection, select
from workshop.training import TrainingWish, plan_training
from workshop.verdict import read_verdict
from workshop.worker import Worker

POOL = 400  # rows that those to learn from are taken of


class Order(Enum):
    """Which rows of the pool are reviewed first."""

    RANDOM = "random"
    WORTH = "worth"


def main(
    file: Annotated[Path, typer.Argument(help="JSON lines")],
    text: Annotated[str, typer.Option(help="column with the texts")] = "text",
    label: Annotated[str, typer.Option(help="column with the right labels")] = "label",
    group: Annotated[list[str] | None, typer.Option(help="name=label,label")] = None,
    rows: Annotated[str, typer.Option(help="how many are learnt, by comma")] = "50",
    held_out: Annotated[int, typer.Option(help="rows to judge on")] = 100,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    task: Annotated[str, typer.Option()] = "classification",
    start: Annotated[str, typer.Option(help="the adapter in place")] = "classification",
    order: Annotated[Order, typer.Option()] = Order.RANDOM,
    verdict: Annotated[bool, typer.Option(help="judge what ships, too, and ask the gate")] = True,
    output: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run the circle for each seed and each number of rows."""
    pairs = labelled(file, text, label, group)
    asked = {"file": f"{file.parent.name}/{file.name}", "groups": group or [], "task": task,
             "start": start, "held out": held_out}  # fmt: skip
    spec, found = find_task(load_tasks(), task), _kept(output, asked)
    done = {(one["order"], one["rows"], one["seed"]) for one in found}
    for seed in range(seeds):
        drawn = random.Random(seed).sample(pairs, held_out + POOL)
        judged, pool = drawn[:held_out], drawn[held_out:]
        wanted = [n for n in map(int, rows.split(",")) if (order.value, n, seed) not in done]
        if wanted and order is Order.WORTH:
            pool = _by_worth(pool, spec)
        for count in wanted:
            circle = _circle([*judged, *pool[:count]], held_out, spec, start, verdict)
            found.append({"order": order.value, "rows": count, "seed": seed, **circle})
            aside(json.dumps(found[-1]))
            _keep(output, asked, found)
    _keep(output, asked, found)
    print(json.dumps(_curve(found), indent=1))


def labelled(
    file: Path, text: str, label: str, groups: Sequence[str] | None
) -> list[tuple[str, str]]:
    """Texts with their labels; of groups (`name=label,label`) the group's, and no other rows."""
    known = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if not groups:
        return [(row[text], row[label]) for row in known]
    parted = [one.partition("=") for one in groups]
    names = {one: name for name, _, labels in parted for one in labels.split(",")}
    return [(row[text], names[row[label]]) for row in known if row[label] in names]


def reviewed(pairs: Sequence[tuple[str, str]], held_out: int, task: TaskSpec) -> Selection:
    """Texts with their right labels as reviewed rows; the first are held out."""
    store, rows = ReviewStore(), _rows(pairs, held_out, task)
    store.add(rows)
    for row in rows:
        store.decide(row.id, row.suggested, "benchmark")
    return select(store, task)


def _rows(pairs: Sequence[tuple[str, str]], held_out: int, task: TaskSpec) -> list[ReviewRow]:
    labels = sorted({label for _, label in pairs})
    return [
        ReviewRow(
            id=f"row-{n}", task=task.name, text=text, suggested=label, consent=True,
            slots={task.labels_slot: labels} if task.labels_slot else {},
            why="random" if n < held_out else "imported", held_out=n < held_out,
        )
        for n, (text, label) in enumerate(pairs)
    ]  # fmt: skip


def _by_worth(pool: Sequence[tuple[str, str]], task: TaskSpec) -> list[tuple[str, str]]:
    rows = []
    with closing(build_agent(load_settings(profile="starter"), aside)) as agent:
        for row in _rows(pool, 0, task):
            for event in agent.perform(row.text, task=task.name, slots=row.slots):
                if isinstance(event, Failed):
                    raise RuntimeError(event.message)
                if isinstance(event, StepFinished):
                    rows.append(row.model_copy(update={"labels": event.labels}))
    return [pool[int(id.removeprefix("row-"))] for id in ordered(rows)]


def _circle(
    drawn: Sequence[tuple[str, str]], held_out: int, task: TaskSpec, start: str, verdict: bool
) -> dict[str, Any]:
    with own_home():
        jobs, chosen = Jobs(), reviewed(drawn, held_out, task)
        began = time.perf_counter()
        training = _done(plan_training(jobs, chosen, TrainingWish(start=start), "benchmark"))
        trained = time.perf_counter()
        judging = plan_judging(jobs, chosen, training.job.adapter, start, "benchmark")
        if verdict:
            _done(judging)
        else:  # the runs on held-out rows come first
            for command in judging.job.commands[: len(RUNS)]:
                arguments = python_module(command.arguments)
                subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        ended = time.perf_counter()
        new, old = (record.read(judging.folder / f"{HELD_OUT}-{side}") for side in RUNS)
        found = read_verdict(judging.folder) or {}
        cheap = new.baseline and new.baseline.compared
        return {
            "before": old.figures["accuracy"].value,
            "after": new.figures["accuracy"].value,
            "tf_idf": cheap.baseline.value if cheap else None,
            "verdict": found.get("answer"),
            "failed": [c["name"] for c in found.get("checks", ()) if not c["passed"]],
            "seconds": {"train": round(trained - began), "judge": round(ended - trained)},
        }


@contextmanager
def own_home() -> Iterator[None]:
    """A Patchbay folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as home:
        before = os.environ.get("PATCHBAY_HOME")
        os.environ["PATCHBAY_HOME"] = home
        try:
            yield
        finally:
            os.environ.pop("PATCHBAY_HOME")
            if before is not None:
                os.environ["PATCHBAY_HOME"] = before


def _done(found: JobFolder) -> JobFolder:
    """A job, checked, released and done."""
    found.write(found.kept_state.model_copy(update={"released": True}))
    state = Worker(found).work()
    if state.status != "finished":
        raise RuntimeError(f"{state.status}: {state.problem}\n{found.log()}")
    return found


def _kept(output: Path | None, asked: dict[str, Any]) -> list[dict[str, Any]]:
    if output is None or not output.exists():
        return []
    kept: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    if kept["asked"] != asked:
        raise typer.BadParameter(f"{output} is of {kept['asked']}. Choose another --output.")
    circles: list[dict[str, Any]] = kept["circles"]
    return circles


def _keep(output: Path | None, asked: dict[str, Any], found: Sequence[dict[str, Any]]) -> None:
    if output:
        kept = {"asked": asked, "curve": _curve(found), "circles": found}
        output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _curve(circles: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and half of its interval: order and rows -> accuracy of each, the gain of each draw."""
    points: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for one in circles:
        points[one["order"], one["rows"]].append(one | {"gain": one["after"] - one["before"]})
    return [
        {"order": order, "rows": count, "seeds": len(those)}
        | {
            name: [round(float(value), 4) for value in _mean([one[name] for one in those])]
            for name in ("before", "after", "gain", "tf_idf")
            if None not in {one[name] for one in those}
        }
        for (order, count), those in sorted(points.items())
    ]


def _mean(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) == 1:
        return (values[0],)
    return float(np.mean(values)), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


if __name__ == "__main__":
    typer.run(main)
