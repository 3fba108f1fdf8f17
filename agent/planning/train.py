"""Train the planner: `python -m agent.planning.train`. Twenty minutes on two cores."""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from agent.feedback.store import Feedback
from agent.planning import artefact, examples, features, patterns, word_vectors
from agent.planning.artefact import Artefact
from agent.planning.examples import NAMES, TAGS, UNKNOWN, Example, ExampleBatch
from agent.planning.network import Batch, PlanNetwork
from agent.planning.word_vectors import ProjectedWords
from core import fingerprint, paths
from core.errors import InputError
from core.terminal import aside, run
from tasks.spec import load_tasks

BATCH, DROPOUT, WEIGHT_DECAY, CLIP, SMOOTHING = 64, 0.15, 0.01, 1.0, 0.03
HIDDEN_WORDS, HIDDEN_GRAMS = 0.08, 0.1  # shares whose letters a token goes without
WRITTEN = ("routing_dev", "routing_more")  # labelled requests by hand, in tests/data
HELD_OUT_REQUESTS = 1000
CORRECTION_COPIES = 12  # of each corrected request in a round
RISK = 0.2  # of a wrong plan that is still taken: being asked costs a fifth of being misread
MARGIN = 0.01  # share of held-out plans by which a new planner may be worse
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def train(
    to: Annotated[Path, typer.Option(help="folder of the finished planner")] = artefact.FOLDER,
    start: Annotated[Path | None, typer.Option(help="a planner to go on from")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 36,
    rows: Annotated[int, typer.Option(min=BATCH, help="requests drawn for each round")] = 12_000,
    rate: Annotated[float, typer.Option(help="the highest learning rate")] = 3e-3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    corrections: Annotated[bool, typer.Option(help="learn from the routes you corrected")] = False,
) -> None:
    """Compose requests, train, calibrate, and put the result in place if it is no worse."""
    began = time.monotonic()
    torch.manual_seed(seed)
    tasks = load_tasks([paths.REPOSITORY / "tasks"])
    held_out = _composed(examples.composer(tasks, seed + 1, held_out=True), HELD_OUT_REQUESTS)
    written, unseen = _written()
    corrected = examples.of_corrections(Feedback().corrections()) if corrections else []
    network = _network(start)
    each = rows + len(written) + CORRECTION_COPIES * len(corrected)
    trainer = Trainer(network, rate, steps=rounds * -(-each // BATCH))
    source = examples.composer(tasks, seed)
    rng = random.Random(seed)
    for number in range(1, rounds + 1):
        drawn = _composed(source, rows) + written + corrected * CORRECTION_COPIES
        loss = [trainer.take(batch) for batch in examples.batches(drawn, BATCH, rng)]
        share = exact(network, held_out)
        aside(f"round {number}: loss {np.mean(loss):.3f}, held-out plans {share:.3f}")
    if isinstance(network.words, ProjectedWords):
        network.words = network.words.projected()
    found = {
        "temperature": calibrate(network, held_out + unseen),
        "held_out_plans": round(exact(network, held_out), 4),
        "written_plans": round(exact(network, unseen), 4),
    }
    _require_no_worse(found["held_out_plans"], held_out, start or to)
    made = {
        "command": {"rounds": rounds, "rows": rows, "rate": rate, "seed": seed},
        "started_from": Artefact(start).record if start else None,
        "corrections": len(corrected),
        "seconds": round(time.monotonic() - began),
    }
    artefact.write(to, network, _facts() | made | found)
    aside(f"{to}: held-out plans {found['held_out_plans']:.1%}")


def _network(start: Path | None) -> PlanNetwork:
    """To be trained, from nothing or where another planner ended."""
    network = PlanNetwork(len(NAMES), len(TAGS), DROPOUT)
    if start:
        network.load_state_dict(Artefact(start).network.state_dict())
    else:
        network.words = ProjectedWords(word_vectors.table())
    return network


def _facts() -> dict[str, Any]:
    """What a planner's record says of every training with this code and these files."""
    return {
        "features": features.version(),
        "names": NAMES,
        "tags": TAGS,
        "threshold": 1 - RISK,
        "patterns": len(patterns.read()),
        "data": fingerprint.of_value([Path(file).read_text("utf-8") for file in _files()]),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class Trainer:
    """Takes a step for each batch, with one cycle of the learning rate over all of them."""

    def __init__(self, network: PlanNetwork, rate: float, steps: int) -> None:
        self._network = network
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, rate, total_steps=steps, pct_start=0.1
        )

    def take(self, batch: ExampleBatch) -> float:
        """Learn from a batch; gives its loss."""
        self._network.train()
        inputs = _with_hidden_letters(batch.inputs)
        states, tags = self._network.read(inputs)
        plans = self._network.plan(states, inputs, batch.written)
        loss = _cross_entropy(tags, batch.tags, 0.0) + _cross_entropy(
            plans, batch.wanted, SMOOTHING
        )
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), CLIP)
        self._optimizer.step()
        self._schedule.step()
        return loss.item()


@torch.inference_mode()
def exact(network: PlanNetwork, requests: Sequence[Example]) -> float:
    """The share of plans of which every step is the likeliest there, 0 to 1."""
    right = [
        ((logits.argmax(2) == wanted) | (wanted == UNKNOWN)).all(1)
        for logits, wanted in _plans(network, requests)
    ]
    return float(torch.cat(right).float().mean())


@torch.inference_mode()
def calibrate(network: PlanNetwork, requests: Sequence[Example]) -> float:
    """The temperature at which the right steps are likeliest."""
    found = _plans(network, requests)
    temperatures: list[float] = np.geomspace(0.4, 4, 48).tolist()

    def loss(temperature: float) -> float:
        return sum(
            _cross_entropy(logits / temperature, wanted, 0.0, "sum").item()
            for logits, wanted in found
        )

    best: float = min(temperatures, key=loss)
    return round(best, 3)


def _plans(network: PlanNetwork, requests: Sequence[Example]) -> list[tuple[Tensor, Tensor]]:
    network.eval()
    found = []
    for start in range(0, len(requests), BATCH):
        batch = examples.together(requests[start : start + BATCH])
        states, _ = network.read(batch.inputs)
        found.append((network.plan(states, batch.inputs, batch.written), batch.wanted))
    return found


def _cross_entropy(
    logits: Tensor, wanted: Tensor, smoothing: float, reduction: str = "mean"
) -> Tensor:
    return nn.functional.cross_entropy(
        logits.flatten(0, 1),
        wanted.flatten(),
        ignore_index=UNKNOWN,
        label_smoothing=smoothing,
        reduction=reduction,
    ).nan_to_num()  # a batch of which no tag is known


def _with_hidden_letters(batch: Batch) -> Batch:
    """The batch with the letters of some tokens hidden, so that form and neighbours must do."""
    sizes = torch.diff(batch.offsets, append=torch.tensor([len(batch.rows)]))
    words = (torch.rand(len(sizes)) > HIDDEN_WORDS).repeat_interleave(sizes)
    seen = words & (torch.rand(len(batch.rows)) > HIDDEN_GRAMS)
    return replace(batch, weights=batch.weights * (seen | (batch.rows < features.FORMS)))


def _composed(source: Any, count: int) -> list[Example]:
    return [examples.of_composed(source.draw()) for _ in range(count)]


def _written() -> tuple[list[Example], list[Example]]:
    """Requests written by hand, to train on, and every fourth to calibrate on."""
    folder = paths.REPOSITORY / "tests" / "data"
    found = [e for name in WRITTEN for e in examples.read_labelled(folder / f"{name}.jsonl")]
    return [e for i, e in enumerate(found) if i % 4], found[::4]


def _files() -> list[str]:
    """What the training reads, so that the record can tell whether it has changed."""
    folders = [(patterns.FOLDER, "*"), (paths.REPOSITORY / "finetune" / "rows", "*.jsonl")]
    return sorted(str(file) for folder, names in folders for file in folder.glob(names))


def _require_no_worse(found: float, held_out: Sequence[Example], before: Path) -> None:
    """Raises InputError: the planner that is in place plans the held-out requests better."""
    if not (before / artefact.RECORD).is_file() or artefact.is_of_another_version(before):
        return
    old = exact(Artefact(before).network, held_out)
    if found < old - MARGIN:
        raise InputError(
            f"The new planner is right on {found:.1%} of the held-out requests, and the one in "
            f"{before} on {old:.1%}. Nothing was put in place; train longer or with more rows."
        )


if __name__ == "__main__":
    run(app)
