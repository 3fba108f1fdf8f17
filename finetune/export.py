"""Take an adapter elsewhere, checked against the original where its numbers change.

adapter    as it is: for this app, and for anything that loads PEFT adapters; a few megabytes
vllm       the same with the base's chat template, for vLLM's --lora-modules
gguf-lora  the adapter in one file for llama.cpp's --lora, and that template
merged     added into its base, a whole model for transformers; as large as the base
gguf       the merged model in one file for llama.cpp, in 16, 8 or 4 bits
ollama     the same with a Modelfile that has the task's prompt
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from adapter_store.discovery import find_finished
from adapter_store.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    CURVE_PLOT,
    RECIPE_FILE,
)
from adapter_store.peft_config import read_peft_config
from adapter_store.run_record import read_run_record
from core.errors import AdapterError, InputError
from finetune import card, gguf_file, gguf_lora, licences, model, modelfile, older_transformers
from finetune.gguf_file import About, Weights
from finetune.recipe import Recipe
from tasks.spec import TaskSpec, find_task, load_tasks

Format = Literal["adapter", "vllm", "gguf-lora", "merged", "gguf", "ollama"]
MERGED = {"merged", "gguf", "ollama"}
# The next tokens that a merged model must share with the adapter on `DRIFT_TEXTS`, a little under
# the least of the starter's adapters: f16 1.000, q8_0 0.956 to 0.978, q4_0 0.511 to 0.800.
LEAST_AGREEMENT: dict[Weights, float] = {"f16": 0.99, "q8_0": 0.9, "q4_0": 0.4}
DRIFT_TEXTS = [
    "The train leaves at nine and arrives before noon.",
    "I loved every minute of it, and so did the children.",
    "Shares fell after the company cut its forecast for the year.",
    "我们明天早上去图书馆。",
]


@dataclass(frozen=True)
class Drift:
    """How far an export is from the adapter: largest logit difference, share of equal answers."""

    largest: float
    agreement: float


def export(
    name: str,
    form: Format,
    target: Path,
    weights: Weights = "f16",
    fills: Mapping[str, str] | None = None,
) -> Drift | None:
    """Write the adapter in a form to a new folder, whose parents are made.

    Args:
        weights: of `gguf` and `ollama`.
        fills: slot -> language code, choice or label list (`a, b`) in the Modelfile's prompt.

    Returns:
        the measured drift of a merged model; None for an adapter.

    Raises:
        UnknownName: there is no finished adapter of that name.
        AdapterError: the target exists or cannot be made, the form cannot hold the adapter, or the
            merged model drifts too far to be called good.
        InputError: the prompt needs a value that `fills` lacks.
    """
    folder = find_finished(name)
    with _staged(target) as made:
        if form == "adapter":
            shutil.copytree(folder, made, dirs_exist_ok=True)
            return None
        recipe = card.recipe_of(folder)
        tokenizer = model.load_tokenizer(recipe)
        task = find_task(load_tasks(), recipe.task)
        said = _said(task, fills or {}, name) if form == "ollama" else {}
        drift = None
        if form in MERGED:
            drift = _merge(folder, recipe, tokenizer, form, made, weights)
            (made / "export.json").write_text(json.dumps({"adapter": folder.name, **vars(drift)}))
        agreement = drift.agreement if drift else None
        card.remade(folder, tokenizer, form, agreement).save(made / CARD)
        _add_beside_card(folder, made)
        if form == "ollama":
            licence = (made / CARD).read_text(encoding="utf-8").split("\n## Data and licences\n")[1]
            text = modelfile.text(task, said, tokenizer, licence.strip(), gguf_file.GGUF_FILE)
            (made / "Modelfile").write_text(text, encoding="utf-8")
        if form == "vllm":
            read_peft_config(folder)  # it serves what we serve: plain LoRA
            for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                shutil.copy(folder / file, made)
        if form in {"vllm", "gguf-lora"}:  # the base that they are put on may have another, or none
            (made / "chat_template.jinja").write_text(tokenizer.chat_template, encoding="utf-8")
        if form == "gguf-lora":
            source, _ = model.base_source(recipe)
            gguf_lora.write(folder, AutoConfig.from_pretrained(source), made, _about(folder))
        return drift


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder that becomes the target when all has gone well, with the modes of any new one."""
    target = target.absolute()
    if target.exists():
        raise AdapterError(f"{target} exists already. Name another folder with --to.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-")
    except OSError as error:
        raise AdapterError(
            f"{target} cannot be made ({error.strerror}). Name another folder with --to."
        ) from error
    with temporary as work:
        made = Path(work) / "made"
        made.mkdir()
        yield made
        os.umask(mask := os.umask(0))
        for path in (made, *made.rglob("*")):  # safetensors writes files for the owner alone
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        made.rename(target)


def _add_beside_card(folder: Path, made: Path) -> None:
    """The files that the card and the base's terms speak of."""
    for file in (CURVE_PLOT, RECIPE_FILE):
        if (folder / file).is_file():
            shutil.copy(folder / file, made)
    for name, content in licences.terms(read_run_record(folder).base).items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        (made / name).write_bytes(data)


def _about(folder: Path) -> About:
    record = read_run_record(folder)
    return About(
        name=folder.name,
        base=record.base if card.is_on_hub(record.base) else None,
        licence=licences.card_fields(record),
        languages=card.languages_of(record.scope),
    )


def _said(task: TaskSpec, fills: Mapping[str, str], name: str) -> dict[str, str]:
    """What the slots say in the prompt.

    Raises:
        InputError: one is missing or not known; the message says how it is given.
    """
    wanted = {key: slot for key, slot in task.slots.items() if slot.type not in {"choice", "count"}}
    unknown = sorted(fills.keys() - task.slots.keys())
    missing = sorted(wanted.keys() - fills.keys())
    if unknown or missing:
        options = " ".join(f"--fill {key}=..." for key in missing or task.slots)
        wrong = f"{name} has no {unknown[0]}" if unknown else f"{name}'s prompt needs values"
        raise InputError(f"{wrong}. Give {options or 'no --fill'}, and nothing else.")
    labels = [
        label.strip() for label in fills.get(task.labels_slot or "", "").split(",") if label.strip()
    ]
    named = {key: value for key, value in fills.items() if key != task.labels_slot}
    return task.fills(named, labels or [both.en for both in task.labels.values()])


def _merge(
    folder: Path, recipe: Recipe, tokenizer: Any, form: Format, made: Path, weights: Weights
) -> Drift:
    adapted = PeftModel.from_pretrained(base_of(recipe), folder).eval()
    before = [_logits(adapted, tokenizer, text) for text in DRIFT_TEXTS]
    merged = adapted.merge_and_unload()
    with tempfile.TemporaryDirectory(dir=made.parent) as work:
        saved = made if form == "merged" else Path(work)
        tokenizer.save_pretrained(saved)
        if form == "merged":
            merged.generation_config.eos_token_id = _ends(merged, tokenizer)
            merged.save_pretrained(saved)
            older_transformers.write(saved)
            reloaded = AutoModelForCausalLM.from_pretrained(saved, dtype=_dtype(recipe))
        else:
            file = gguf_file.write(merged, tokenizer, saved, _about(folder), weights)
            reloaded = gguf_file.read(file, merged.config)
            file.rename(made / file.name)
    drift = measured_drift(before, [_logits(reloaded, tokenizer, text) for text in DRIFT_TEXTS])
    least = LEAST_AGREEMENT[weights if form != "merged" else "f16"]
    if drift.agreement < least:
        raise AdapterError(
            f"The {form} model is not the adapter: {drift.agreement:.1%} of the next tokens "
            f"agree (at least {least:.0%} must), logits differ by up to "
            f"{drift.largest:.3g}. Nothing was written. Export it as adapter."
        )
    return drift


def _ends(net: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the base's own, and that of a turn."""
    own = net.generation_config.eos_token_id
    ends = own if isinstance(own, list) else [own]
    return sorted({*ends, tokenizer.eos_token_id} - {None})


def base_of(recipe: Recipe) -> Any:
    """The base as it was trained on: 4-bit weights are dequantized, not read anew."""
    source, _ = model.base_source(recipe)
    options: dict[str, Any] = {"dtype": _dtype(recipe), "use_safetensors": True}
    if recipe.quantization == "nf4":
        options["quantization_config"] = model.nf4(_dtype(recipe))
    base = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, **options)
    return base.dequantize() if recipe.quantization == "nf4" else base


def _dtype(recipe: Recipe) -> torch.dtype:
    """Where memory allows, more than it was trained in: bfloat16 rounds small updates away."""
    return model.dtype(recipe) if torch.cuda.is_available() else torch.float32


@torch.no_grad()
def _logits(net: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """(length, vocabulary) float32 logits at every position of a text."""
    ids = tokenizer(text, return_tensors="pt").input_ids.to(net.device)
    logits: torch.Tensor = net(ids).logits[0].float().cpu()
    return logits


def measured_drift(before: list[torch.Tensor], after: list[torch.Tensor]) -> Drift:
    """Drift between two lists of (length, vocabulary) logits of the same texts."""
    one, other = torch.cat(before), torch.cat(after)
    agreement = (one.argmax(-1) == other.argmax(-1)).float().mean().item()
    return Drift((one - other).abs().max().item(), agreement)
