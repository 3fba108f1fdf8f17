"""Search over the ranges in a recipe with Optuna: each trial a finished run, a plot, a winner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure

from adapter_store.run_record import read_run_record
from core import paths
from core.errors import SettingsError
from finetune import train
from finetune.recipe import Range, ResolvedRecipe, load_recipe


def run(name: str, overrides: Sequence[str], trials: int) -> tuple[Path, list[str]]:
    """Run trials until there are `trials` finished ones; an interrupted search goes on.

    Returns:
        the folder of the search, and the winner as `key=value` overrides.

    Raises:
        SettingsError: the recipe has no `search`.
        PatchbayError: a trial could not be trained.
    """
    base = load_recipe(name, overrides)
    if not base.recipe.search:
        raise SettingsError(
            f"{base.recipe.name}: a sweep needs ranges in the recipe, such as "
            "`search: {learning_rate: {low: 1e-4, high: 2e-3, log: true}, lora.rank: [4, 8, 16]}`."
        )
    folder = paths.user_dir() / "sweeps" / base.recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'study.db'}",
        study_name=base.recipe.name,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=base.recipe.seed),
    )
    done = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
    study.optimize(
        lambda trial: _trial(trial, base, name, overrides, folder), n_trials=max(0, trials - done)
    )
    _draw(study, folder)
    winner = [f"{key}={value}" for key, value in study.best_params.items()]
    return folder, winner


def _trial(
    trial: optuna.Trial, base: ResolvedRecipe, name: str, overrides: Sequence[str], folder: Path
) -> float:
    """Train with values the search suggests; the lowest validation loss."""
    drawn = [
        f"{key}={_suggest(trial, key, choices)}" for key, choices in base.recipe.search.items()
    ]
    resolved = load_recipe(name, [*overrides, *drawn, f"name=trial-{trial.number}"])
    adapter = train.run(resolved, replace=True, adapters_dir=folder)
    return read_run_record(adapter).best_loss


def _suggest(trial: optuna.Trial, key: str, choices: Range | list[Any]) -> Any:
    if isinstance(choices, list):
        return trial.suggest_categorical(key, choices)
    return trial.suggest_float(key, choices.low, choices.high, log=choices.log)


def _draw(study: optuna.Study, folder: Path) -> None:
    """Write `sweep.png`: validation loss against each searched value."""
    trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    keys = sorted(trials[0].params)
    figure = Figure(figsize=(4 * len(keys), 3.5), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        axes.plot([trial.params[key] for trial in trials], [trial.value for trial in trials], "o")
        axes.set(xlabel=key, ylabel="validation loss (nats)")
    figure.savefig(folder / "sweep.png", dpi=100)
