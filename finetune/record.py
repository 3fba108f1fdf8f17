"""A run's folder: checkpoints while it trains; adapter, curve, card and record when it is done."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from adapter_store.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    ORIGINS,
    RECIPE_FILE,
    fingerprint_of,
)
from adapter_store.run_record import DataSetRecord, RunRecord, write_run_record
from adapter_store.scope import Scope, languages_of
from core import fingerprint
from core.errors import SettingsError
from core.statement import in_english
from finetune import card, curve, resumption, warm_start
from finetune.data import DataSet
from finetune.model import TrainableModel
from finetune.recipe import Lora, ResolvedRecipe
from finetune.shrink import shrunk
from finetune.state import TrainingState
from tasks.rows import Row
from tasks.spec import TaskSpec

CHECKPOINT, BEST, STARTED = "checkpoint.pt", "best.pt", "started.json"
BEGAN = "%Y-%m-%d_%H-%M-%S"
TRAINING_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers")


@dataclass(frozen=True)
class RunFolder:
    """Where a run works and where its adapter goes.

    The working folder's name begins with a dot, which the adapter library passes over: the chat
    sees an adapter only when the finished folder is renamed into its place.
    """

    folder: Path
    final: Path

    @classmethod
    def at(cls, adapters_dir: Path, name: str) -> RunFolder:
        """The place of a run of that name among the adapters of a folder."""
        return cls(adapters_dir / f".{name}.run", adapters_dir / name)

    def open(self, resume: bool, replace: bool) -> None:
        """Make the working folder, or find the one to go on in.

        Raises:
            SettingsError: there is nothing to resume, or something would be overwritten.
        """
        name = self.final.name
        if resume and not (self.folder / CHECKPOINT).exists():
            raise SettingsError(f"There is no checkpoint of {name!r} to resume in {self.folder}.")
        if self.final.exists() and not replace:
            raise SettingsError(
                f"There is a finished adapter {name!r} already. Choose another name=..., "
                "or give --replace."
            )
        unfinished = self.folder / CHECKPOINT
        if not resume and not replace and unfinished.exists():
            saved = datetime.fromtimestamp(unfinished.stat().st_mtime).isoformat(" ", "minutes")
            raise SettingsError(
                f"There is a run {name!r} that did not finish, with a checkpoint of {saved}. Go on "
                "with --resume, choose another name=..., or give --replace to delete it."
            )
        if not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    def begin(self, began_with: Mapping[str, Any], resume: bool) -> None:
        """Write down what a run begins with, or see that one goes on with the same.

        Raises:
            SettingsError: it goes on with something else.
        """
        file = self.folder / STARTED
        if resume:
            before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
            resumption.refuse_another(before, json.loads(json.dumps(began_with)))
        else:
            now = datetime.now().strftime(BEGAN)
            file.write_text(json.dumps({**began_with, "began": now}, indent=1), encoding="utf-8")

    def began(self) -> str:
        """When the run began, as a name for a folder."""
        values = json.loads((self.folder / STARTED).read_text(encoding="utf-8"))
        return str(values.get("began") or datetime.now().strftime(BEGAN))

    def save_checkpoint(self, values: Mapping[str, Any]) -> None:
        """Write it beside the old one, then put it in its place."""
        _save(self.folder / CHECKPOINT, values)

    def load_checkpoint(self) -> dict[str, Any]:
        """The last checkpoint."""
        values: dict[str, Any] = torch.load(self.folder / CHECKPOINT, weights_only=True)
        return values

    def save_best(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep the adapter of the lowest validation loss."""
        _save(self.folder / BEST, dict(tensors))

    def load_best(self) -> dict[str, torch.Tensor] | None:
        """The adapter of the lowest validation loss, if there was one."""
        if not (self.folder / BEST).exists():
            return None
        tensors: dict[str, torch.Tensor] = torch.load(self.folder / BEST, weights_only=True)
        return tensors


def _save(file: Path, values: Any) -> None:
    temporary = file.with_suffix(".writing")
    torch.save(values, temporary)
    os.replace(temporary, file)


def finish(
    run_folder: RunFolder,
    resolved: ResolvedRecipe,
    task: TaskSpec,
    data_sets: Sequence[DataSet],
    trainable: TrainableModel,
    adapter: Mapping[str, torch.Tensor],
    state: TrainingState,
    *,
    processes: int = 1,
    folds: Sequence[float] = (),
) -> Path:
    """Write adapter, recipe, curve and card, the record last, and put the folder in its place.

    Args:
        adapter: the trained tensors by name, on the CPU.
        processes: that trained together.
        folds: validation losses of a cross-validation before.

    Returns:
        the finished folder.
    """
    folder = run_folder.folder
    save_adapter(trainable, adapter, folder, resolved.recipe.lora)
    recipe = resolved.recipe.settled()
    (folder / RECIPE_FILE).write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
    (folder / ORIGINS).write_text(json.dumps(resolved.origins, indent=1))
    curve.draw(state, folder)
    record = _record(resolved, task, data_sets, trainable, state, processes, folder)
    if findings := [
        f"{one.label}: {note}"
        for one in data_sets
        for note in (*(said.english for said in one.notes), *map(in_english, one.findings))
    ]:
        record = record.model_copy(update={"findings": findings})
    if resolved.recipe.patience:
        record = record.model_copy(update={"kept_best": True})
    if folds:
        record = record.model_copy(update={"folds": list(folds)})
    if start := warm_start.start_folder(resolved.recipe, trainable.base_name):
        record = record.model_copy(update={"start": warm_start.start_record(start)})
    card.made(record, resolved.recipe, trainable.tokenizer).save(folder / CARD)
    write_run_record(folder, record)
    for file in (*map(folder.joinpath, (CHECKPOINT, BEST, STARTED)), *folder.glob("*.writing")):
        file.unlink(missing_ok=True)  # half a checkpoint, too, of a process that was killed
    _put_in_place(run_folder)
    return run_folder.final


def _put_in_place(run_folder: RunFolder) -> None:
    """Killed between any two steps, it leaves a whole adapter of that name or none."""
    before = run_folder.final.with_name(f".{run_folder.final.name}.replaced")
    shutil.rmtree(before, ignore_errors=True)
    if run_folder.final.exists():
        run_folder.final.rename(before)
    run_folder.folder.rename(run_folder.final)
    shutil.rmtree(before, ignore_errors=True)


def save_adapter(
    trainable: TrainableModel,
    adapter: Mapping[str, torch.Tensor],
    folder: Path,
    lora: Lora,
) -> None:
    """The adapter in PEFT's format, in float16, byte for byte the same for the same weights.

    Args:
        lora: says at which rank it is written, and how much of the update. A part of it lies
            between the base and what was trained, and often generalizes better than both
            (Wortsman et al. 2022, arXiv 2109.01903).
    """
    config, keep = trainable.model.peft_config["default"].to_dict(), lora.keep
    config["lora_alpha"] *= lora.strength
    if keep and keep < config["r"]:
        share = keep / config["r"]  # the update is scaled by alpha / rank, or alpha / sqrt(rank)
        config["lora_alpha"] *= share**0.5 if config["use_rslora"] else share
        config["r"], adapter = keep, shrunk(adapter, keep)
    config["base_model_name_or_path"] = trainable.base_name
    config["inference_mode"] = True
    plain = {key: sorted(v) if isinstance(v, set) else v for key, v in config.items()}
    text = json.dumps(plain, indent=1, sort_keys=True, default=str)
    (folder / ADAPTER_CONFIG).write_text(text)
    tensors = {
        name.replace(".default.weight", ".weight"): tensor.to(torch.float16)
        for name, tensor in adapter.items()
    }
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _record(
    resolved: ResolvedRecipe,
    task: TaskSpec,
    data_sets: Sequence[DataSet],
    trainable: TrainableModel,
    state: TrainingState,
    processes: int,
    folder: Path,
) -> RunRecord:
    return RunRecord(
        name=resolved.recipe.name,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        adapter=fingerprint_of(folder),
        base=trainable.base_name,
        task=task.fingerprint,
        task_name=task.name,
        task_version=task.version,
        scope=scope(task, data_sets).model_copy(update={"any_task": resolved.recipe.any_task}),
        recipe=fingerprint.of_value(resolved.recipe.settled()),
        seed=resolved.recipe.seed,
        data=[_described(data_set) for data_set in data_sets],
        steps=state.step,
        rows=state.rows,
        tokens=state.tokens,
        seconds=round(state.seconds, 1),
        loss_before=state.before,
        evaluations=state.evaluations,
        threads=torch.get_num_threads(),
        processes=processes,
        processor=platform.machine(),
        versions={name: version(name) for name in TRAINING_PACKAGES},
    )


# Labels from which an adapter learns to read a list, and not to know its labels. Of 13 it did not
# (results/LOG.md, a Chinese specialist); `classification-en` saw 300 and does. 40 is a guess.
ENOUGH_LABELS = 40


def scope(task: TaskSpec, data_sets: Sequence[DataSet]) -> Scope:
    """What the rows teach: slot values, label lists, the languages of the texts."""
    rows = [row for data_set in data_sets for row in data_set.train]
    slots = {
        name: sorted({row.slots[name] for row in rows if name in row.slots})
        for name, slot in task.slots.items()
        if slot.type == "language"
    }
    own_labels = task.kind == "choose" and all(
        data_set.source.labels == "task" for data_set in data_sets
    )
    labels_seen = (
        {row.answer for row in rows} if task.kind == "choose" and not own_labels else set()
    )
    return Scope(
        slots={name: values for name, values in slots.items() if values},
        labels=[both.en for both in task.labels.values()] if own_labels else None,
        among=sorted(labels_seen) if 0 < len(labels_seen) < ENOUGH_LABELS else None,
        languages=[] if slots else languages_of(row.text for row in rows),
    )


def _has_own_prompt(row: Row) -> bool:
    return any(turn["role"] == "system" for turn in row.history)


def _described(data_set: DataSet) -> DataSetRecord:
    source = data_set.source
    files = [Path(origin) for origin in data_set.refused if Path(origin).is_file()]
    described = DataSetRecord(
        name=data_set.label,
        licence=source.licence,
        attribution=source.attribution,
        train_rows=len(data_set.train),
        validation_rows=len(data_set.validation),
        refused=sum(map(len, data_set.refused.values())),
        sha256={file.name: fingerprint.sha256_file(file) for file in files},
    )
    if own := sum(map(_has_own_prompt, data_set.train)):  # else the record stays as it was
        described = described.model_copy(update={"own_prompts": own})
    if files or not source.hub:
        return described
    at = source.revision or "no revision named"
    return described.model_copy(update={"hub": f"{source.hub} ({at})"})
