"""A judging of an adapter beside the one in place, as a job: runs on the same rows, the gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapter_store.discovery import adapter_folders, find_adapter
from tasks import languages
from tasks.rows import Row
from tasks.spec import TaskSpec
from workshop.adapters import adapters_of
from workshop.jobs import Command, Job, JobFolder, Jobs, now, require_modules
from workshop.refusal import Refusal
from workshop.row_files import columns_of, write_rows
from workshop.selection import HELD_OUT as HELD_OUT_FILE
from workshop.selection import Selection
from workshop.shipped_rows import shipped_rows

HELD_OUT, VERDICT = Path(HELD_OUT_FILE).stem, "verdict.json"
SHIPPED_MOST, SHIPPED_LEAST = 600, 30  # rows of a language that stand for what has been learnt
SHIPPED_LANGUAGES = ("en", "zh")
TOGETHER = 8  # rows asked about at one time
NO_ADAPTER = "base"
RUNS = ("new", "old")  # of the adapter that is judged, and of the one in place


def plan_judging(jobs: Jobs, chosen: Selection, adapter: str, in_place: str, by: str) -> JobFolder:
    """Write the files of a judging, and keep it as a job.

    Args:
        chosen: the reviewed rows; those that are held out judge.
        in_place: the adapter that answers now; "" is the bare base.

    Raises:
        Refusal: there are no rows, or both are the same adapter.
    """
    require_modules()
    find_adapter(adapter)
    if adapter == in_place:
        raise Refusal("in_place", "{name} is in place already. Judge another.", name=adapter)
    task, rows = chosen.task, chosen.held_out
    if not rows:
        raise Refusal(
            "no_rows",
            "There are no reviewed rows to judge on. Those drawn at random are kept for it: "
            "collect some, and review them.",
        )
    job_id = jobs.new_id()
    folder = jobs.path(job_id)
    chosen.write(folder)
    sets = {HELD_OUT: chosen.evaluation_options()}
    for (name, labels), shipped in _shipped(task, in_place).items():
        write_rows(folder / f"{name}.jsonl", shipped)
        sets[name] = [
            *(
                word
                for column in columns_of(shipped)
                for word in ("--column", f"{column}={column}")
            ),
            *(("--labels", labels) if labels != "task" else ()),
        ]
    data_folder = ("--data-folder", str(training_folder(jobs, adapter) or folder))
    commands = [
        _run(folder, task, name, (*options, *data_folder), side, judged)
        for name, options in sets.items()
        for side, judged in zip(RUNS, (adapter, in_place or NO_ADAPTER), strict=True)
    ]
    gate = ("evaluation", "gate", *gate_arguments(folder, list(sets)), "--json")
    commands.append(Command(arguments=gate, output=VERDICT, passes=(0, 1, 3)))
    return jobs.add(
        Job(
            id=job_id, kind="judge", task=task.name, adapter=adapter, in_place=in_place,
            rows=tuple(row.id for row in rows), by=by, at=now(), commands=tuple(commands),
        )
    )  # fmt: skip


def training_folder(jobs: Jobs, adapter: str) -> Path | None:
    """Where the baseline finds the rows that an adapter was trained on, if a job trained it."""
    trainings = jobs.of("train", adapter=adapter)
    return trainings[0].folder if trainings else None


def gate_arguments(folder: Path, names: Sequence[str]) -> list[str]:
    """The runs as `evaluation gate` and `promote` take them: first those on held-out rows."""
    pairs = [[str(folder / f"{name}-{side}") for side in RUNS] for name in names]
    first, *others = pairs
    return [*first, *(word for pair in others for word in ("--also", *pair))]


def data_sets(folder: Path) -> list[str]:
    """The names of a judging's files of rows, the held-out ones first."""
    found = {file.name.rpartition("-")[0] for side in RUNS for file in folder.glob(f"*-{side}")}
    return sorted(found, key=lambda name: name != HELD_OUT)


def _run(
    folder: Path, task: TaskSpec, name: str, options: Sequence[str], side: str, judged: str
) -> Command:
    return Command(
        arguments=(
            "evaluation", "run", "--task", task.name, "--data", str(folder / f"{name}.jsonl"),
            "--adapter", judged, "--output", str(folder / f"{name}-{side}"),
            "--together", str(TOGETHER), *options,
        )
    )  # fmt: skip


def _shipped(task: TaskSpec, in_place: str) -> dict[tuple[str, str], list[Row]]:
    """Rows that the adapter in place has learnt and a new one learns none of: (name, label lists)
    -> rows of a language.
    """
    if in_place not in adapters_of(task.name):  # none, or one that answers for any task
        return {}
    _, kept = shipped_rows(adapter_folders()[in_place], task)
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in kept:
        if one.labels != "sampled":  # whose lists a training draws anew
            groups.setdefault((languages.detect(one.row.text), one.labels), []).append(one.row)
    return {
        (f"shipped-{language}{'' if labels == 'task' else '-lists'}", labels): rows[:SHIPPED_MOST]
        for (language, labels), rows in sorted(groups.items())
        if language in SHIPPED_LANGUAGES and len(rows) >= SHIPPED_LEAST
    }
