"""How fast finetune trains beside TRL's SFTTrainer: same rows, prompt, adapter and order.

python -m benchmarks.training sentiment-en data_folder=DIR

Each way runs in a process of its own, for its peak memory. The batches are the same ones in the
same order and the adapters begin alike, so the losses must agree step by step. TRL runs in float32
and in bfloat16, its default, each with gradient checkpointing, its default, and without, which is
quicker and takes more memory. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from itertools import islice
from typing import Annotated, Any

import torch
import typer

from core.terminal import aside
from finetune import data, model
from finetune.examples import Example
from finetune.model import AnswerLoss, collate
from finetune.recipe import Recipe, load_recipe
from tasks.spec import find_task, load_tasks

OURS = "finetune"
TRL: dict[str, dict[str, bool | None]] = {  # what SFTConfig is told; None: TRL decides
    "trl": {"bf16": False, "gradient_checkpointing": True},
    "trl without checkpointing": {"bf16": False, "gradient_checkpointing": False},
    "trl bfloat16": {"bf16": None, "gradient_checkpointing": True},
    "trl bfloat16 without checkpointing": {"bf16": None, "gradient_checkpointing": False},
}
LEARNING_RATE = 5e-4  # constant, no warm-up: both do the same steps

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    recipe: str,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    steps: Annotated[int, typer.Option(min=2, help="the first warms up")] = 6,
    slow_steps: Annotated[int, typer.Option(min=2, help="of TRL in bfloat16")] = 3,
    only: Annotated[str | None, typer.Option(help="one way, in this process")] = None,
) -> None:
    """Measure every way, one after another."""
    if only:
        print(json.dumps(_measure(only, load_recipe(recipe, overrides or []).recipe, steps)))
        return
    results: dict[str, Any] = {}
    for way in (OURS, *TRL):
        count = slow_steps if "bfloat16" in way else steps
        arguments = [recipe, *(overrides or []), f"--steps={count}", f"--only={way}"]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.training", *arguments],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        results[way] = json.loads(done.stdout.splitlines()[-1])
        aside(f"{way}: {results[way]}")
    ours, theirs = results[OURS], results["trl"]
    peers = [results[way] for way in TRL]
    best = max(peer["rows_per_second"] for peer in peers)
    least = min(peer["peak_gb"] for peer in peers)
    pairs = zip(ours["losses"], theirs["losses"], strict=True)
    print(
        json.dumps(
            {
                "recipe": recipe,
                **results,
                "times_trl": round(ours["rows_per_second"] / theirs["rows_per_second"], 2),
                "times_trl_at_best": round(ours["rows_per_second"] / best, 2),
                "peak_of_trls_least": round(ours["peak_gb"] / least, 2),
                "largest_loss_difference": max(abs(a - b) for a, b in pairs),
            }
        )
    )


def _measure(way: str, recipe: Recipe, steps: int) -> dict[str, Any]:
    task = find_task(load_tasks(), recipe.task)
    trainable = model.load(recipe)
    encoder = model.encoder(trainable.tokenizer, task)
    data_sets = data.load(recipe, task, encoder)
    full = (b for b in data.stream(recipe, data_sets, encoder) if len(b) == recipe.batch)
    batches = list(islice(full, steps))
    run = _finetune if way == OURS else _trl
    losses, times = run(trainable.model, batches, recipe, way)
    rows = recipe.batch * (steps - 1)
    tokens = sum(len(example) for batch in batches for example in batch) / (steps * recipe.batch)
    return {
        "rows_per_second": round(rows / (times[-1] - times[0]), 3),
        "tokens_a_row": round(tokens, 1),
        "peak_gb": round(_peak(), 2),
        "losses": [round(loss, 4) for loss in losses],
    }


def _peak() -> float:
    """The most memory of the process, on the GPU where there is one, in GB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _finetune(
    net: Any, batches: list[list[Example]], recipe: Recipe, way: str
) -> tuple[list[float], list[float]]:
    """Losses, and the times at which steps ended."""
    loss_of = AnswerLoss(net)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    losses, times = [], []
    for batch in batches:
        on_gpu = net.device.type == "cuda"
        loss = loss_of(collate(batch, 0, recipe.round_to, share=not on_gpu).to(net.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        times.append(time.perf_counter())
    return losses, times


def _trl(
    net: Any, batches: list[list[Example]], recipe: Recipe, way: str
) -> tuple[list[float], list[float]]:
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import AutoTokenizer, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    losses: list[float] = []
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                losses.append(float(logs["loss"]))
                times.append(time.perf_counter())

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return SequentialSampler(range(len(rows)))

    rows = [
        {
            "input_ids": example.prompt + example.answer,
            "completion_mask": [0] * len(example.prompt) + [1] * len(example.answer),
        }
        for batch in batches
        for example in batch
    ]
    config = SFTConfig(
        output_dir="/tmp/patchbay-trl",
        per_device_train_batch_size=recipe.batch,
        max_steps=len(batches),
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=recipe.clip,
        completion_only_loss=True,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        **TRL[way],
    )
    tokenizer = AutoTokenizer.from_pretrained(model.base_source(recipe)[0])
    InOrder(
        model=net,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Clock()],
    ).train()
    return losses, times


if __name__ == "__main__":
    app()
