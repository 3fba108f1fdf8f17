"""The loss curve of a training, as numbers and as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from adapter_store.files import CURVE, CURVE_PLOT
from finetune.state import TrainingState


def draw(state: TrainingState, folder: Path) -> None:
    """Write `curve.json` and `curve.png`: training and validation loss by step."""
    curve = {"train": state.losses, "validation": state.evaluations}
    (folder / CURVE).write_text(json.dumps(curve))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = range(1, len(state.losses) + 1)
    axes.plot(steps, state.losses, alpha=0.25, color="tab:blue", label="training, each step")
    axes.plot(steps, _smooth(state.losses), color="tab:blue", label="training, smoothed")
    if state.evaluations:
        axes.plot(*zip(*state.evaluations, strict=True), "o-", color="tab:red", label="validation")
    axes.set(xlabel="step", ylabel="loss per answer token (nats)", yscale="log")
    axes.legend()
    figure.savefig(folder / CURVE_PLOT, dpi=100)


def _smooth(values: list[float], keep: float = 0.95) -> list[float]:
    """Exponential mean, corrected for its start."""
    smoothed, mean = [], 0.0
    for i, value in enumerate(values, 1):
        mean = keep * mean + (1 - keep) * value
        smoothed.append(mean / (1 - keep**i))
    return smoothed
