"""One training, top to bottom: data, batches, steps, evaluations, checkpoints, record."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from core import paths
from core.errors import SettingsError
from core.statement import in_english
from finetune import (
    checks,
    data,
    distributed,
    model,
    preview,
    record,
    resumption,
    samples,
    trackers,
)
from finetune.errors import TrainingError, explained_errors
from finetune.examples import Example, ExampleEncoder
from finetune.model import AnswerLoss, Batch, TrainableModel, collate
from finetune.recipe import Recipe, ResolvedRecipe
from finetune.record import RunFolder
from finetune.state import TrainingState
from tasks.spec import find_task, load_tasks

PACE_STEPS = 10  # steps after which a time budget becomes a number of steps


def run(
    resolved: ResolvedRecipe,
    resume: bool = False,
    replace: bool = False,
    adapters_dir: Path | None = None,
    folds: Sequence[float] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train what the recipe describes.

    Args:
        resolved: the recipe.
        resume: go on from the last checkpoint of a run of that name.
        replace: let the new adapter take the place of a finished one of that name.
        adapters_dir: folder that the adapter goes into; by default where the chat finds it.
        folds: validation losses of a cross-validation before, for the record.
        say: told what was read, refused and noticed.

    Returns:
        the finished adapter's folder.

    Raises:
        TrainingError: it ended early; the last checkpoint is kept.
        PatchbayError: recipe, data or base are wrong.
    """
    recipe = resolved.recipe
    trackers.require(recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    accelerator = distributed.join(recipe)
    first = accelerator.is_main_process
    tell = say if first else lambda line: None
    run_folder = RunFolder.at(adapters_dir or paths.user_dir() / "adapters", recipe.name)
    if first:
        run_folder.open(resume, replace)
    task = find_task(load_tasks(), recipe.task)
    trainable = model.load(recipe, distributed.sharded(accelerator))
    encoder = model.encoder(trainable.tokenizer, task)
    data_sets = data.load(recipe, task, encoder)
    if first:
        checks.look_over(data_sets, encoder)
        for line in preview.described(data_sets, encoder):
            tell(in_english(line))
    checks.require_rows(recipe, task, data_sets)
    if first:
        processes = accelerator.num_processes
        run_folder.begin(resumption.began_with(recipe, data_sets, processes), resume)
    training = Trainer(recipe, trainable, encoder, data_sets, run_folder, accelerator)
    if resume:
        training.restore()
    with explained_errors(run_folder, recipe):
        adapter = _tracked(training, tell)
        if first:
            record.finish(
                run_folder, resolved, task, data_sets, trainable, adapter, training.state,
                processes=accelerator.num_processes, folds=folds,
            )  # fmt: skip
    accelerator.wait_for_everyone()
    return run_folder.final


def _tracked(training: Trainer, say: Callable[[str], None]) -> dict[str, torch.Tensor]:
    """Train under the eyes of the recipe's trackers; the adapter's tensors."""
    began = distributed.from_main_process(training.accelerator, training.run_folder.began)
    step = training.state.step
    with trackers.tracking(training.accelerator, training.recipe, began, step) as where:
        if where:
            say(where)
        training.train()
        return training.adapter()


class Trainer:
    """The loop and what it needs."""

    def __init__(
        self,
        recipe: Recipe,
        trainable: TrainableModel,
        encoder: ExampleEncoder,
        data_sets: list[data.DataSet],
        run_folder: RunFolder,
        accelerator: Accelerator,
    ) -> None:
        self.recipe, self.trainable, self.run_folder = recipe, trainable, run_folder
        self.accelerator = accelerator
        self.state = TrainingState(
            total=_planned_steps(recipe, data_sets, encoder, accelerator.num_processes)
        )
        trained = [p for p in trainable.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.sharded = distributed.sharded(accelerator)
        loss = AnswerLoss(trainable.model, fuse=not self.sharded)  # fused layers hold whole weights
        self.stream = data.stream(recipe, data_sets, encoder)
        self.validation = data.validation(recipe, data_sets, encoder)
        if recipe.samples and self.sharded:
            raise SettingsError(
                f"samples={recipe.samples}: a base that is split over processes answers none. "
                "Leave it out."
            )
        self.sampled = list(itertools.chain.from_iterable(self.validation))[: recipe.samples]
        fragile = self.sharded and recipe.quantization == "nf4"
        before = self._value(loss, self.validation[0]) if fragile else 0.0
        head = trainable.model.get_output_embeddings().weight
        self.loss, self.optimizer = distributed.prepare(accelerator, loss, head, optimizer)
        # bitsandbytes' issue 1945: on some GPU, weights came out of the split changed, unnoticed.
        if fragile and abs(self._value(self.loss, self.validation[0]) - before) > 1e-4 * before:
            raise SettingsError(
                "Split over the processes, the 4-bit base computes something else. Launch with "
                "--multi_gpu, where every GPU holds the 4-bit base, or set quantization=none."
            )
        self._first: tuple[int, float] | None = None  # step and seconds after this process's first

    def train(self) -> None:
        """Steps until the end; Ctrl-C saves a checkpoint first."""
        state = self.state
        share, rank = self.accelerator.num_processes, self.accelerator.process_index
        drawn = itertools.islice(self.stream, state.step * share + rank, None, share)
        batches = prefetched(map(self._collated, drawn), self.accelerator.device)
        if state.before is None and state.step == 0:
            state.before = round(self._validation_loss(), 6)
            self._log_validation(state.before)
        saved_at = time.monotonic()
        with self._bar() as bar, distributed.agreeing_on_stops(self.accelerator) as agree:
            try:
                began = time.perf_counter()
                for batch in batches:
                    if state.total is not None and state.step >= state.total:
                        break
                    self._step(batch.to(self.accelerator.device))
                    state.seconds += time.perf_counter() - began
                    self._set_total_by_pace()
                    self._show(bar)
                    if self._evaluation_due() and self._evaluate():
                        break
                    if agree(time.monotonic() - saved_at > 60 * self.recipe.checkpoint_minutes):
                        self.save()
                        saved_at = time.monotonic()
                    began = time.perf_counter()
            except KeyboardInterrupt:
                self.save()
                raise
        if self.recipe.patience:
            self._take_best()

    def save(self) -> None:
        """Write a checkpoint; the one before it stays whole until this one is."""
        values = {
            "adapter": self.adapter(),
            "optimizer": distributed.optimizer_state(
                self.accelerator, self.optimizer, list(self._trained().values())
            ),
            "state": asdict(self.state),
            "rng": torch.get_rng_state(),
        }
        if self.accelerator.is_main_process:
            self.run_folder.save_checkpoint(values)

    def restore(self) -> None:
        """Go on from the last checkpoint."""
        checkpoint = distributed.from_main_process(
            self.accelerator, self.run_folder.load_checkpoint
        )
        self._put_adapter(checkpoint["adapter"])
        distributed.load_optimizer(
            self.accelerator,
            self.optimizer,
            list(self._trained().values()),
            checkpoint["optimizer"],
            lambda: self._learn(self._batch(self.validation[0])),
        )
        planned = self.state.total  # as the recipe says now: `steps=` may cut a run short
        self.state = TrainingState(**checkpoint["state"])
        self.state.total = planned or self.state.total
        torch.set_rng_state(checkpoint["rng"])

    def _step(self, batch: Batch) -> None:
        state = self.state
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self._rate(state.step)
        loss = self._learn(batch)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(self.accelerator.clip_grad_norm_(trained, self.recipe.clip))
        share = 1 / self.accelerator.num_processes
        mine = [share * loss, len(batch.ids), batch.tokens]
        value, rows, tokens = distributed.sum_over_processes(self.accelerator, mine)
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise TrainingError(
                f"The loss became {value} at step {state.step + 1}. Use a smaller "
                f"learning_rate (it is {self.recipe.learning_rate:g}), or a longer warmup. "
                "The last good checkpoint is kept."
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        state.losses.append(round(value, 6))
        state.tokens += round(tokens)
        state.rows += round(rows)

    def _learn(self, batch: Batch) -> float:
        """Take the gradient; DeepSpeed clips it and takes the optimizer's step as well."""
        self.loss.train()
        loss = self.loss(batch)
        self.accelerator.backward(loss)
        return float(loss.detach())

    def _set_total_by_pace(self) -> None:
        """Turn a time budget into a number of steps, again and again, as the pace may change.

        A process's first step warms up and is left out.
        """
        state, minutes = self.state, self.recipe.minutes
        if self._first is None:
            self._first = state.step, state.seconds
        steps = state.step - self._first[0] + 1
        if minutes and not self.recipe.steps and steps % PACE_STEPS == 0:
            pace = (state.seconds - self._first[1]) / (steps - 1)
            left = max(0.0, 60 * minutes - state.seconds)
            total = max(PACE_STEPS, state.step + round(left / pace))
            state.total = distributed.from_main_process(self.accelerator, lambda: total)

    def _batch(self, examples: list[Example]) -> Batch:
        return self._collated(examples).to(self.accelerator.device)

    def _collated(self, examples: list[Example]) -> Batch:
        pad = self.trainable.tokenizer.pad_token_id or self.trainable.tokenizer.eos_token_id
        # Recomputing keeps no keys and values. FSDP puts a layer's weights away when its backward
        # pass is done, and the gradient of lent keys and values reaches the layer once more.
        # And on a GPU one attention over whole rows is quicker than one over lent keys.
        on_gpu = self.accelerator.device.type == "cuda"
        share = not (self.recipe.gradient_checkpointing or self.sharded or on_gpu)
        return collate(examples, pad, self.recipe.round_to, share)

    def _rate(self, step: int) -> float:
        """The share of the learning rate at a step."""
        total = self.state.total or 100 * PACE_STEPS
        warm = max(1, round(self.recipe.warmup * total))
        if step < warm:
            return (step + 1) / warm
        if self.recipe.schedule == "constant":
            return 1.0
        left = max(0.0, 1 - (step - warm) / max(1, total - warm))
        return left if self.recipe.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2

    def _evaluation_due(self) -> bool:
        total, step = self.state.total, self.state.step
        if total is None:
            return False
        every = max(1, total // self.recipe.evaluations)
        return step == total or (step % every == 0 and total - step >= every)

    def _evaluate(self) -> bool:
        """Take the validation loss; True when patience has run out."""
        loss = self._validation_loss()
        state = self.state
        better = loss < state.best
        state.evaluations.append((state.step, round(loss, 6)))
        state.stale = 0 if better else state.stale + 1
        self._log_validation(loss)
        if self.recipe.patience and better:
            adapter = self.adapter()
            if self.accelerator.is_main_process:
                self.run_folder.save_best(adapter)
        return bool(self.recipe.patience) and state.stale >= (self.recipe.patience or 0)

    def _log_validation(self, loss: float) -> None:
        self.accelerator.log({"loss/validation": loss}, step=self.state.step)
        if self.sampled and self.accelerator.is_main_process:
            answers = samples.answers(self.trainable, self.sampled)
            trackers.log_here(self.accelerator, answers, self.state.step)

    def _validation_loss(self) -> float:
        """The mean over the validation rows, nats an answer token, the same in all processes."""
        losses = [self._value(self.loss, examples) for examples in self.validation]
        sizes = [len(examples) for examples in self.validation]
        loss = sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes)
        share = 1 / self.accelerator.num_processes  # all must draw the same conclusion
        return distributed.sum_over_processes(self.accelerator, [share * loss])[0]

    @torch.no_grad()
    def _value(self, loss: torch.nn.Module, examples: list[Example]) -> float:
        """The loss on some examples, nats an answer token."""
        loss.eval()
        return float(loss(self._batch(examples)))

    def _take_best(self) -> None:
        best = distributed.from_main_process(self.accelerator, self.run_folder.load_best)
        if best is not None:
            self._put_adapter(best)

    def adapter(self) -> dict[str, torch.Tensor]:
        """The trained tensors by name, on the CPU; every process must take part."""
        adapter: dict[str, torch.Tensor] = distributed.gathered(self._trained())
        return adapter

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        return distributed.trained_parameters(self.trainable.model)

    def _put_adapter(self, tensors: dict[str, torch.Tensor]) -> None:
        trained = self._trained()
        if missing := set(trained) ^ set(tensors):
            raise TrainingError(
                f"The checkpoint was made with another lora setting ({min(missing)} differs). "
                "Resume with the recipe it was started with, or start anew."
            )
        values = [(parameter, tensors[name]) for name, parameter in trained.items()]
        distributed.load_values(self.accelerator, self.optimizer, values)

    def _bar(self) -> tqdm:
        shown = self.accelerator.is_main_process
        return tqdm(
            total=self.state.total,
            initial=self.state.step,
            unit="step",
            desc=self.recipe.name,
            disable=not shown,
            mininterval=1.0,
        )

    def _show(self, bar: tqdm) -> None:
        state = self.state
        bar.total = state.total
        recent = state.losses[-20:]
        bar.set_postfix(
            {
                "loss": f"{sum(recent) / len(recent):.3f}",
                "tok/s": f"{state.tokens / state.seconds:.0f}",
            },
            refresh=False,
        )
        bar.update()
        rate = self.optimizer.param_groups[0]["lr"]
        done = {"rows": state.rows, "seconds": round(state.seconds, 3), "steps": state.total or 0}
        self.accelerator.log({"loss/train": state.losses[-1], "rate": rate, **done}, state.step)


class _BatchStream(IterableDataset[Batch]):
    """Batches for a worker process, which is forked and so needs no copy of them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self._batches


def prefetched(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, made ahead in a process of its own where a GPU would wait for them."""
    if device.type != "cuda":
        return batches
    stream = _BatchStream(batches)
    return iter(DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=16))


def _planned_steps(
    recipe: Recipe, data_sets: list[data.DataSet], encoder: ExampleEncoder, processes: int
) -> int | None:
    """Steps to do, as far as the recipe says it without a clock."""
    if recipe.steps:
        return recipe.steps
    if recipe.minutes:
        return None
    return max(1, round(recipe.epochs * data.count_batches(recipe, data_sets, encoder) / processes))
