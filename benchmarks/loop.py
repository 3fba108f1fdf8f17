"""From reviewed rows to a judged adapter, as the workshop does it: accuracy, time, the verdict.

    python -m benchmarks.loop banking77/train.jsonl --label intent \
        --group cards=card_arrival,lost_or_stolen_card --group transfers=failed_transfer,... \
        --rows 25,50,100,200 --seeds 5 --output results/loop.json

Rows of a file are drawn: some to judge on, others to learn from, each reviewed with its right
answer. The labels, or groups of them, are a list of one's own that the shipped adapter has to read.
It is trained on, judged beside the shipped adapter on the same rows, and beside TF-IDF with
logistic regression on the rows that were learnt. In a Patchbay folder of its own, that is deleted.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core.terminal import aside
from evaluation import record
from tasks.spec import TaskSpec, find_task, load_tasks
from workshop.jobs import JobFolder, Jobs
from workshop.judging import HELD_OUT, plan_judging
from workshop.rows import ReviewRow, ReviewStore
from workshop.selection import Selection, select
from workshop.training import TrainingWish, plan_training
from workshop.verdict import read_verdict
from workshop.worker import Worker


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
    output: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run the circle for each number of rows and each seed."""
    known = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    names = {
        one: g.partition("=")[0] for g in group or [] for one in g.partition("=")[2].split(",")
    }
    pairs = [(row[text], names.get(row[label], row[label])) for row in known]
    if names:
        pairs = [(t, name) for t, name in pairs if name in names.values()]
    found = []
    for count in map(int, rows.split(",")):
        for seed in range(seeds):
            drawn = random.Random(seed).sample(pairs, count + held_out)
            found.append({"rows": count, "seed": seed, **_circle(drawn, held_out, task, start)})
            aside(json.dumps(found[-1]))
    print(json.dumps(found, indent=1))
    if output:
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def reviewed(pairs: Sequence[tuple[str, str]], held_out: int, task: TaskSpec) -> Selection:
    """Texts with their right labels as reviewed rows; the first are held out."""
    store, labels = ReviewStore(), sorted({label for _, label in pairs})
    rows = [
        ReviewRow(
            id=f"row-{n}", task=task.name, text=text, suggested=label, consent=True,
            slots={task.labels_slot: labels} if task.labels_slot else {},
            why="random" if n < held_out else "imported", held_out=n < held_out,
        )
        for n, (text, label) in enumerate(pairs)
    ]  # fmt: skip
    store.add(rows)
    for row in rows:
        store.decide(row.id, row.suggested, "benchmark")
    return select(store, task)


def _circle(drawn: list[tuple[str, str]], held_out: int, task: str, start: str) -> dict[str, Any]:
    spec = find_task(load_tasks(), task)
    with tempfile.TemporaryDirectory() as home:
        os.environ["PATCHBAY_HOME"] = home
        jobs, chosen = Jobs(), reviewed(drawn, held_out, spec)
        began = time.perf_counter()
        training = _done(plan_training(jobs, chosen, TrainingWish(start=start), "benchmark"))
        trained = time.perf_counter()
        judging = _done(plan_judging(jobs, chosen, training.job.adapter, start, "benchmark"))
        ended = time.perf_counter()
        new, old = (record.read(judging.folder / f"{HELD_OUT}-{side}") for side in ("new", "old"))
        verdict = read_verdict(judging.folder) or {}
        cheap = new.baseline and new.baseline.compared
        return {
            "before": old.figures["accuracy"].value,
            "after": new.figures["accuracy"].value,
            "tf_idf": cheap.baseline.value if cheap else None,
            "verdict": verdict.get("answer"),
            "failed": [c["name"] for c in verdict.get("checks", ()) if not c["passed"]],
            "seconds": {"train": round(trained - began), "judge": round(ended - trained)},
        }


def _done(found: JobFolder) -> JobFolder:
    """A job, checked, released and done."""
    found.write(found.kept_state.model_copy(update={"released": True}))
    state = Worker(found).work()
    if state.status != "finished":
        raise RuntimeError(f"{state.status}: {state.problem}\n{found.log()}")
    return found


if __name__ == "__main__":
    typer.run(main)
