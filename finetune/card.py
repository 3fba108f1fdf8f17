"""What a person reads about an adapter: its card and its loss curve."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from adapter_store.files import CURVE, CURVE_PLOT
from adapter_store.run_record import DataSetRecord, RunRecord, StartRecord
from engine.starter import starter_named
from finetune.recipe import Recipe
from finetune.state import TrainingState
from tasks.spec import TaskSpec, find_task, load_tasks

TEMPLATE = """---
base_model: {base}
library_name: peft
tags: [lora, patchbay, {task}]
license: {licence}
---

# {name}

A LoRA adapter for the task `{task}` on `{base}`, made by Patchbay's `finetune`.{notice}

<!-- results -->
<!-- /results -->

{ask}

## Training

{steps:,} steps over {rows:,} rows ({tokens:,} tokens with padding) in {minutes:.0f} minutes.
{shape}, learning rate {rate:g}, batch {batch}, seed {seed}.
The loss on validation rows went {losses}.{worse}{folds}

![loss]({curve})

To repeat it with the recipe beside this card:
`python -m finetune run recipe.yaml steps={steps} data_folder=DIR`

## Data

{data}

{notes}
"""


ASK = """## Ask it

From Patchbay by its name: the task's prompt is added, and the last message is what it works on.

```sh
curl http://127.0.0.1:7860/v1/chat/completions -H 'Content-Type: application/json' -d '
  {"model": "NAME", "messages": [{"role": "user", "content": "The train leaves at nine."}]}'
```

Elsewhere, or raw from Patchbay with `"patchbay": {"raw": true}`, it wants the prompt that it was
trained with, what stands in braces filled in:

```json
PROMPT
```"""


def text(record: RunRecord, recipe: Recipe) -> str:
    """The model card, Markdown."""
    starter = starter_named(record.base)
    taken = [loss for _, loss in record.evaluations]
    if record.loss_before is not None:
        taken = [record.loss_before, *taken]
    losses = " → ".join(f"{loss:.3f}" for loss in taken) or "unmeasured"
    filled = TEMPLATE.format(
        base=record.base,
        licence=starter.licence if starter else "apache-2.0",
        notice=f" {starter.notice}." if starter and starter.notice else "",
        task=recipe.task,
        name=recipe.name,
        ask=how_to_ask(recipe.name, find_task(load_tasks(), recipe.task)),
        steps=record.steps,
        rows=record.rows,
        tokens=record.tokens,
        minutes=record.seconds / 60,
        shape=_shape(record, recipe),
        rate=recipe.learning_rate,
        batch=recipe.batch,
        seed=recipe.seed,
        losses=losses,
        worse=f"\n**{record.ended_worse}**" if record.ended_worse else "",
        folds=_folds(record.folds),
        curve=CURVE_PLOT,
        data="\n".join(_sources(record)),
        notes=recipe.notes,
    )
    return filled.rstrip() + "\n"


def how_to_ask(name: str, task: TaskSpec) -> str:
    """How an adapter is asked, with and without the prompt of its task. Markdown."""
    turns = {"system": task.prompt.system, "user": task.prompt.user}
    prompt = [{"role": role, "content": said} for role, said in turns.items() if said]
    return ASK.replace("NAME", name).replace("PROMPT", json.dumps(prompt, ensure_ascii=False))


def _folds(losses: list[float]) -> str:
    if not losses:
        return ""
    spread = statistics.stdev(losses)
    mean = statistics.mean(losses)
    return f"\nCross-validation in {len(losses)} folds before: {mean:.3f}, deviation {spread:.3f}."


def _shape(record: RunRecord, recipe: Recipe) -> str:
    lora = recipe.lora
    shrunk = f", rank {lora.keep} of it kept" if lora.keep else ""
    if start := record.start:
        return f"Started from `{start.name}` ({start.adapter}){shrunk}"
    return f"Rank {lora.rank}, alpha {lora.alpha:g}{shrunk}"


def _sources(record: RunRecord | StartRecord) -> list[str]:
    """Of this training, and of those that it went on from."""
    lines = [_source(data_set) for data_set in record.data]
    return lines + (_sources(record.start) if record.start else [])


def _source(data: DataSetRecord) -> str:
    credit = f" {data.attribution}" if data.attribution else ""
    return f"- **{data.name}**, {data.train_rows:,} rows. Licence: {data.licence}.{credit}"


def draw_curve(state: TrainingState, folder: Path) -> None:
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
