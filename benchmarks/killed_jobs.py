"""kill -9 at random moments of the workshop's circle: what stands then, and whether it goes on.

    python -m benchmarks.killed_jobs --kills 50 --output results/killed-jobs.json

Real rows, processes and adapters, in a Patchbay folder that is deleted: reviewed rows are trained
on the starter, judged, promoted and rolled back, by the commands that a person gives. A training
saves a checkpoint every second or so. The first circle runs undisturbed and says how long each part
takes. From then on something is killed, all processes, the first alone, or its command alone:
anywhere in a part, or just after a file appeared (`MOMENTS`). After each kill everything is looked
at, then gone on with. One JSON line; ends with 1 where something was wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from adapter_store.files import ADAPTER_CONFIG, CALIBRATION
from adapter_store.promotions import PROMOTIONS, PromotionEvent, Promotions
from benchmarks.consistency import Witness
from benchmarks.loop import own_home, reviewed
from core import paths
from core.terminal import aside
from tasks.spec import load_tasks
from workshop.adapters import standing
from workshop.jobs import LIVE, LOG, JobFolder, Jobs, python_module
from workshop.judging import HELD_OUT, VERDICT, plan_judging
from workshop.training import RECIPE, TrainingWish, plan_training

TASK = "sentiment"
THINGS = ("soup", "room", "film", "book", "train", "phone", "garden", "ticket")
WORDS = {"positive": ("lovely", "superb", "great"), "negative": ("awful", "dreadful", "bad")}
HELD_OUT_ROWS = 12
# Quick, and saved often.
RECIPE_CHANGES = {"checkpoint_minutes": 0.02, "samples": 0, "evaluations": 1}
SECONDS = 600  # that anything may take
LOOK = 0.0005  # seconds between two looks for a file
TARGETS = {"all": 2, "the first": 1, "its command": 1}  # how often


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        part: of the circle.
        file: under the Patchbay folder; NAME is the adapter, JOB the job. "": anywhere in the part.
        seconds: after the file appeared, or changed, at most.
    """

    part: str
    file: str = ""
    seconds: float = 0.0


MOMENTS = (  # of a circle
    Moment("training"),
    Moment("training", "adapters/.NAME.run/checkpoint.writing", 0.05),
    Moment("training"),
    Moment("training", f"adapters/.NAME.run/{ADAPTER_CONFIG}", 0.8),
    Moment("training", "adapters/NAME", 0.3),
    Moment("judging", f"workshop/jobs/JOB/{HELD_OUT}-new", 0.01),
    Moment("judging"),
    Moment("judging"),
    Moment("judging", f"workshop/jobs/JOB/{VERDICT}", 0.05),
    Moment("promoting"),
    Moment("promoting", f"adapters/NAME/{CALIBRATION}", 0.02),
    Moment("promoting", PROMOTIONS, 0.02),
    Moment("promoting", f"adapters/NAME/{CALIBRATION}", 0.02),
    Moment("promoting"),
)


def main(
    kills: Annotated[int, typer.Option(min=1)] = 50,
    seed: Annotated[int, typer.Option()] = 0,
    output: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run circles until so many were killed; one JSON line."""
    with own_home():
        circles = Circles(random.Random(seed))
        circles.run(())
        while (left := kills - circles.kills.total()) > 0:
            circles.run(MOMENTS[:left])
        circles.witness.answers("The garden was lovely.")
        found = circles.report()
    print(json.dumps(found))
    if output:
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    raise typer.Exit(1 if found["faults"] else 0)


class Circles:
    """Circles in one Patchbay folder, each on top of the one before."""

    def __init__(self, drawn: random.Random) -> None:
        self.drawn, self.jobs, self.home = drawn, Jobs(), paths.user_dir()
        self.chosen = reviewed(_pairs(drawn), HELD_OUT_ROWS, load_tasks()[TASK])
        self.witness = Witness(TASK)
        self.lengths: dict[str, float] = {}  # part -> seconds, undisturbed
        self.kills: Counter[str] = Counter()
        self.targets: Counter[str] = Counter()
        self.found: Counter[str] = Counter()  # what stood after a kill
        self.circles = 0

    def run(self, moments: Sequence[Moment]) -> None:
        """One circle, killed at these moments as far as they come."""
        self.circles += 1
        before = standing(TASK)
        wish = TrainingWish(epochs=2, learning_rate=1e-3)
        training = plan_training(self.jobs, self.chosen, wish, "benchmark")
        recipe = training.folder / RECIPE
        values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        recipe.write_text(yaml.safe_dump(values | RECIPE_CHANGES))
        self._job("training", training, moments)
        old = before.adapter if before else ""
        judging = plan_judging(self.jobs, self.chosen, training.job.adapter, old, "benchmark")
        self._job("judging", judging, moments)
        self._promotion(judging, moments)
        if left := [str(one.relative_to(self.home)) for one in self.home.rglob("*.writing")]:
            self.witness.fault("a finished circle", f"{left} are left")

    def report(self) -> dict[str, Any]:
        """Counts of kills: by moment, by target, by what stood afterwards; faults."""
        return {
            "kills": self.kills.total(),
            "moments": dict(sorted(self.kills.items())),
            "targets": dict(sorted(self.targets.items())),
            "afterwards": dict(sorted(self.found.items())),
            "circles": self.circles,
            "gone on from a checkpoint": sum(map(_resumed, self.jobs.of("train"))),
            "seconds": {part: round(one, 1) for part, one in self.lengths.items()},
            "faults": self.witness.faults,
        }

    def _job(self, part: str, found: JobFolder, moments: Sequence[Moment]) -> None:
        began = time.monotonic()
        for moment in (one for one in moments if one.part == part):
            judged = _judged(found)
            target = self._strike(moment, found, partial(self._go_on, found))
            _until(lambda: found.state.status not in LIVE)
            if target:
                self._look_at_job(found, part, target, judged)
            if found.state.status == "finished":
                return
        judged = _judged(found)
        self._go_on(found)
        if not _until(lambda: found.state.status not in LIVE) or found.state.status != "finished":
            raise RuntimeError(f"{found.state}\n{found.log()}")
        self.lengths.setdefault(part, time.monotonic() - began)
        self._same_rows(found, judged)
        self.witness.look(part)

    def _go_on(self, found: JobFolder) -> None:
        self.jobs.start(found.folder.name, release=True)

    def _look_at_job(
        self, found: JobFolder, part: str, target: str, judged: dict[str, bytes]
    ) -> None:
        state = found.state
        self.found[f"{part}: {state.status}"] += 1
        expected = {"finished", "failed" if target == "its command" else "interrupted"}
        if state.status not in expected:
            self.witness.fault(part, f"after {target} was killed, it is {state}")
        if state.status == "failed" and "signal 9" not in state.problem:
            self.witness.fault(part, f"its command was killed, and it says {state.problem!r}")
        self._same_rows(found, judged)

    def _same_rows(self, found: JobFolder, before: dict[str, bytes]) -> None:
        """See that no row was judged twice: each line has its own seconds."""
        now = _judged(found)
        for name, lines in before.items():
            if not now[name].startswith(lines):
                self.witness.fault("judging", f"rows of {name} were judged twice")

    def _promotion(self, judging: JobFolder, moments: Sequence[Moment]) -> None:
        """Promote what is not in place and roll back what is, killed; promoted in the end."""
        name, began = judging.job.adapter, time.monotonic()
        promote = ["workshop", "promote", judging.folder.name, "--why", "a benchmark"]
        for moment in (one for one in moments if one.part == "promoting"):
            back = _is_promoted(name)
            before = Promotions().history()
            when = Moment("promoting") if back and moment.file.endswith(CALIBRATION) else moment
            command = ["workshop", "rollback", TASK] if back else promote
            if self._strike(when, judging, partial(_begin, command)):
                self._look_at_promotions(before, name, "rollback" if back else "promote")
        if not _is_promoted(name):
            _begin(promote)
            _until(lambda: not _processes(self.home))
            self.lengths.setdefault("promoting", time.monotonic() - began)
        if not _is_promoted(name):
            self.witness.fault("promoting", f"{name} cannot be promoted")

    def _look_at_promotions(self, before: Sequence[PromotionEvent], name: str, action: str) -> None:
        now = Promotions().history()
        new = [(event.action, event.adapter) for event in now[len(before) :]]
        self.found[f"{action}: {'done' if new else 'not done'}"] += 1
        if now[: len(before)] != before or new not in ([], [(action, name)]):
            self.witness.fault("promoting", f"{new} came of {action} {name}")

    def _strike(self, moment: Moment, found: JobFolder, begin: Callable[[], None]) -> str:
        """Begin something, and kill at a moment; what was killed, "" where all ended before."""
        named = moment.file.replace("NAME", found.job.adapter).replace("JOB", found.folder.name)
        file = self.home / named if named else None
        before = _changed(file)
        begin()
        while file and _changed(file) in {before, 0}:
            if not _processes(self.home):
                return ""
            _until(lambda: _changed(file) not in {before, 0}, 0.2, LOOK)
        time.sleep(self.drawn.uniform(0, moment.seconds or self.lengths[moment.part]))
        (wanted,) = self.drawn.choices([*TARGETS], [*TARGETS.values()])
        if not (target := _kill(_processes(self.home), wanted)):
            return ""
        where = f"{moment.part}, {moment.file or 'anywhere'}"
        self.kills[where] += 1
        self.targets[target] += 1
        aside(f"{self.kills.total()}: {target} in {where}")
        if not _until(lambda: not _processes(self.home)):
            self.witness.fault(where, f"{_processes(self.home)} run on")
        self.witness.look(where)
        return target


def _pairs(drawn: random.Random) -> list[tuple[str, str]]:
    """Texts with their labels, in a drawn order."""
    found = [
        (f"The {thing} was {word}.", label)
        for label, words in WORDS.items()
        for word in words
        for thing in THINGS
    ]
    return drawn.sample(found, len(found))


def _judged(found: JobFolder) -> dict[str, bytes]:
    """Run -> its whole lines."""
    files = found.folder.glob("*/rows.jsonl")
    return {one.parent.name: one.read_bytes().rpartition(b"\n")[0] for one in files}


def _resumed(found: JobFolder) -> int:
    return (found.folder / LOG).read_text(encoding="utf-8").count("--resume")


def _is_promoted(name: str) -> bool:
    event = standing(TASK)
    return event is not None and event.adapter == name


def _begin(arguments: Sequence[str]) -> None:
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        python_module(arguments), cwd=paths.REPOSITORY, stdin=nothing, stdout=nothing,
        stderr=nothing, start_new_session=True,
    )  # fmt: skip


def _processes(home: Path) -> list[int]:
    """Those that were started in a Patchbay folder, parents first."""
    wanted, found = f"PATCHBAY_HOME={home}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def _kill(processes: Sequence[int], target: str) -> str:
    """Kill a target, or all where it is none of them; what was killed, "" where all had ended."""
    some = {"all": processes, "the first": processes[:1], "its command": processes[1:]}[target]
    for pid in some or processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return target if some else "all" if processes else ""


def _changed(file: Path | None) -> int:
    """When a file or folder changed last, in nanoseconds; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns if file else 0
    except FileNotFoundError:
        return 0


def _until(true: Callable[[], object], seconds: float = SECONDS, every: float = 0.05) -> bool:
    """Whether it becomes true in time."""
    until = time.monotonic() + seconds
    while not (done := bool(true())) and time.monotonic() < until:
        time.sleep(every)
    return done


if __name__ == "__main__":
    typer.run(main)
