"""Where a training's curves go while it runs: TensorBoard or another tracker, by Accelerate."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker, filter_trackers

from core import paths
from core.errors import SettingsError
from finetune.recipe import Recipe, flat


def require(recipe: Recipe) -> None:
    """See that the recipe's trackers are installed; Accelerate would pass over one that is not.

    Raises:
        SettingsError: one is not.
    """
    for name in recipe.log_with:
        if importlib.util.find_spec(name) is None:
            raise SettingsError(
                f"log_with={name}: it is not installed. `pip install {name}`, or name another with "
                "log_with=..., or none with log_with=[]."
            )


@contextmanager
def tracking(accelerator: Accelerator, recipe: Recipe, began: str, step: int = 0) -> Iterator[str]:
    """Have `accelerator.log` reach the recipe's trackers meanwhile; the main process's alone.

    TensorBoard's files of a run stand in `logs/NAME/BEGAN` of the person's folder and stay there.
    The others keep theirs where they are set up to: the adapter is the project, `began` the run.

    Args:
        began: when the run began, the same when it is gone on with.
        step: done before, where a run is gone on with. What was logged past it is hidden.

    Yields:
        how to look at them; empty without TensorBoard.
    """
    logs = paths.user_dir() / "logs"
    chosen: list[str | GeneralTracker] = [one for one in recipe.log_with if one != "tensorboard"]
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
