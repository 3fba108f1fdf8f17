"""Where a training's curves go while it runs: TensorBoard or another tracker, by Accelerate."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker, filter_trackers

from core import paths
from core.errors import SettingsError
from finetune.recipe import Recipe, flat

OURS = ("jsonl",)  # trackers that need no package
CURVES = "curves.jsonl"


class JsonLinesTracker(GeneralTracker):  # type: ignore[misc]
    """A line of JSON for everything that is logged: its `step`, the `time` (Unix, seconds), values.

    A run that is gone on with appends; of two lines about a step the later one holds.
    """

    name = "jsonl"
    requires_logging_directory = True
    main_process_only = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / CURVES
        super().__init__()

    @property
    def tracker(self) -> Path:
        """The file."""
        return self.file

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """The recipe stands in the adapter's folder."""

    def log(self, values: dict[str, Any], step: int | None = None, **more: Any) -> None:
        """Write values down."""
        written = {"step": step, "time": round(time.time(), 3), **values}
        line = json.dumps(written, ensure_ascii=False)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")


def log_here(accelerator: Accelerator, words: dict[str, str], step: int) -> None:
    """Log what holds words of the rows: to the file on this machine, as a tracker may publish."""
    for tracker in accelerator.trackers:
        if isinstance(tracker, JsonLinesTracker):
            tracker.log(words, step)


def require(recipe: Recipe) -> None:
    """See that the recipe's trackers are installed; Accelerate would pass over one that is not.

    Raises:
        SettingsError: one is not.
    """
    for name in set(recipe.log_with) - set(OURS):
        if importlib.util.find_spec(name) is None:
            raise SettingsError(
                f"log_with={name}: it is not installed. `pip install {name}`, or name another with "
                "log_with=..., or none with log_with=[]."
            )


@contextmanager
def tracking(accelerator: Accelerator, recipe: Recipe, began: str, step: int = 0) -> Iterator[str]:
    """Have `accelerator.log` reach the recipe's trackers meanwhile; the main process's alone.

    The files of TensorBoard and of `jsonl` stand in `logs/NAME/BEGAN` of the person's folder, and
    stay there. The others keep theirs where they are set up to: the adapter is the project, `began`
    the run.

    Args:
        began: when the run began, the same when it is gone on with.
        step: done before, where a run is gone on with. What was logged past it is hidden.

    Yields:
        how to look at them; empty without TensorBoard.
    """
    logs = paths.user_dir() / "logs"
    own = {"tensorboard", *OURS}
    chosen: list[str | GeneralTracker] = [one for one in recipe.log_with if one not in own]
    if "jsonl" in recipe.log_with:
        chosen.append(JsonLinesTracker(logs / recipe.name / began))
    if shown := "tensorboard" in recipe.log_with:
        purge = {"purge_step": step + 1} if step else {}
        chosen.append(TensorBoardTracker(f"{recipe.name}/{began}", str(logs), **purge))
    accelerator.log_with = filter_trackers(chosen, str(logs))
    names = {"wandb": {"name": began}, "trackio": {"name": began}, "mlflow": {"run_name": began}}
    # Not where the data lie on this machine: a tracker may publish what it is told.
    told = {k: v for k, v in flat(recipe.settled()) if k.split(".")[0] not in {"data", "search"}}
    plain = {k: v if isinstance(v, str | int | float) else str(v) for k, v in told.items()}
    accelerator.init_trackers(recipe.name, plain, names)
    try:
        yield f"The curves: tensorboard --logdir {logs}" if shown else ""
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
        accelerator.trackers.clear()
