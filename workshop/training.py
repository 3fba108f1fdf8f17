"""A training of reviewed rows, as a job: `finetune check`, a look by a person, `finetune run`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapter_store.discovery import ADAPTER_ID, adapter_folders
from adapter_store.run_record import ENDED_WORSE, read_run_record
from core import paths
from core.statement import Statement, quoted
from tasks.rows import Layout, read
from tasks.spec import TaskSpec
from workshop.jobs import Command, Job, JobFolder, Jobs, now, require_modules
from workshop.refusal import Refusal
from workshop.row_files import columns_of, write_rows
from workshop.selection import Selection
from workshop.shipped_rows import shipped_rows

LEAST_ROWS = 8  # to learn from
FEW_ROWS = 200  # fewer are learnt in smaller steps, so that there are enough of them
AGAIN = 3  # rows that ship are learnt again for each reviewed one, so that what was learnt stays
LEAST_AGAIN, MOST_AGAIN = 240, 800
RECIPE = "recipe.yaml"
REPORT = "check.jsonl"  # what the check said, in parts


class TrainingWish(BaseModel):
    """What a person chooses of a training; the rest is as here.

    Attributes:
        name: of the adapter; by default the task's with a number.
        start: the finished adapter to go on from; "" begins from nothing.
        epochs: times that each row is seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    start: str = ""
    epochs: float = Field(4, gt=0, le=50)
    learning_rate: float = Field(1e-4, gt=0, le=1e-2)
    base: str = "starter"

    @classmethod
    def read(cls, values: Mapping[str, object]) -> TrainingWish:
        """A wish as a person wrote it.

        Raises:
            Refusal: a number is none, or too small or large.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise Refusal(
                "number",
                "{name} is {value}: {problem}.",
                name=str(first["loc"][0]),
                value=str(first["input"]),
                problem=first["msg"],
            ) from error


def plan_training(jobs: Jobs, chosen: Selection, wish: TrainingWish, by: str) -> JobFolder:
    """Write the files of a training, and keep it as a job that waits after the check.

    Args:
        chosen: the reviewed rows.
        by: who begins it.

    Raises:
        Refusal: there are too few rows; the name is taken, or none.
    """
    require_modules()
    task, rows = chosen.task, chosen.training
    if len(rows) < LEAST_ROWS:
        raise Refusal(
            "few_rows",
            "There are {count} reviewed rows to learn from, and {least} are the least. Review "
            "more; those drawn at random are kept to judge on.",
            count=len(rows),
            least=LEAST_ROWS,
        )
    name = wish.name.strip() or free_name(task.name)
    if not re.fullmatch(ADAPTER_ID, name):
        raise Refusal(
            "name", "{name} is no name for an adapter: letters, digits, -, _ and dots.", name=name
        )
    if name in adapter_folders():
        raise Refusal("taken", "There is an adapter {name} already. Choose another.", name=name)
    job_id = jobs.new_id()
    folder = jobs.path(job_id)
    chosen.write(folder)
    recipe = folder / RECIPE
    settled = yaml.safe_dump(
        _recipe(chosen, wish, name, folder), allow_unicode=True, sort_keys=False
    )
    recipe.write_text(settled, encoding="utf-8")
    own = paths.user_dir() / "adapters"
    commands = (
        Command(arguments=("finetune", "check", str(recipe), "--report", str(folder / REPORT))),
        Command(
            arguments=("finetune", "run", str(recipe)),
            passes=(0, ENDED_WORSE),  # a few validation rows: judging tells
            made=str(own / name),
            checkpoint=str(own / f".{name}.run" / "checkpoint.pt"),
            go_on="--resume",
        ),
    )
    return jobs.add(
        Job(
            id=job_id, kind="train", task=task.name, adapter=name, in_place=wish.start,
            rows=tuple(row.id for row in rows), by=by, at=now(), commands=commands, hold=1,
        )
    )  # fmt: skip


def _recipe(chosen: Selection, wish: TrainingWish, name: str, folder: Path) -> dict[str, Any]:
    """What `finetune` is told; the files of rows that it names are in the folder."""
    count = len(chosen.training)
    reviewed = chosen.data_source() | {"licence": "its owner's, not published"}
    recipe = {
        "name": name,
        "task": chosen.task.name,
        "base": wish.base,
        "data": [reviewed, *_again(folder, chosen.task, wish.start, count)],
        "data_folder": str(folder),
        "epochs": wish.epochs,
        "learning_rate": wish.learning_rate,
        "batch": 8 if count < FEW_ROWS else 16,
        "batch_tokens": 3000,
        "max_tokens": 512,
        "log_with": ["tensorboard", "jsonl"],
        "samples": 3,
    }
    return recipe | ({"start": wish.start} if wish.start else {})


def check_report(found: JobFolder) -> list[list[Statement]]:
    """What a training's check said, line by line; that of an older one as its log has it."""
    file = found.folder / REPORT
    if not file.is_file():
        return [[quoted(line)] for line in found.log().splitlines()]
    lines = file.read_text(encoding="utf-8").splitlines()
    return [[Statement(**part) for part in json.loads(line)] for line in lines]


def ended_worse(found: JobFolder) -> Statement | None:
    """Said of a finished training whose validation loss ended above where it began."""
    folder = adapter_folders().get(found.job.adapter)
    return read_run_record(folder).ended_worse if folder else None


def learnt_texts(jobs: Jobs, adapter: str, task: TaskSpec) -> list[str]:
    """The texts that a job trained an adapter on; none where no job did."""
    for found in jobs.of("train", adapter=adapter)[:1]:
        recipe = yaml.safe_load((found.folder / RECIPE).read_text(encoding="utf-8"))
        files = [
            (found.folder / source["path"], Layout(columns=source.get("columns", {})))
            for source in recipe["data"]
        ]
        return [row.text for file, layout in files for row in read(file, layout, task).rows]
    return []


def free_name(task: str) -> str:
    """A name for an adapter of a task that none has yet."""
    unfinished = (paths.user_dir() / "adapters").glob(".*.run")
    taken = {*adapter_folders(), *(one.name[1:-4] for one in unfinished)}
    return next(name for n in range(1, 100_000) if (name := f"{task}-own-{n}") not in taken)


def _again(folder: Path, task: TaskSpec, start: str, count: int) -> list[dict[str, Any]]:
    """Rows that the adapter to go on from has learnt, as far as they ship."""
    if not start:
        return []
    rows, _ = shipped_rows(adapter_folders()[start], task)
    rows = rows[: min(MOST_AGAIN, max(LEAST_AGAIN, AGAIN * count))]
    found = []
    for labels in sorted({one.labels for one in rows}):  # a file has one kind of label list
        chosen = [one.row for one in rows if one.labels == labels]
        source = {
            "path": write_rows(folder / f"again-{labels}.jsonl", chosen).name,
            "columns": columns_of(chosen),
            "name": f"rows that {start} has learnt",
            "licence": "Apache-2.0",
            "attribution": "Written for Patchbay.",
        }
        found.append(source | ({} if labels == "task" else {"labels": labels}))
    return found
