"""Take an adapter elsewhere: as it is, or added into its base; checked against the original.

adapter   for this app, and for anything that loads PEFT adapters; a few megabytes
merged    a whole model for programs that know no adapters; as large as the base
gguf      the merged model in one file for llama.cpp, Ollama and the like
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM

from adapter_store.discovery import finished_adapters
from adapter_store.files import CARD, RECIPE_FILE
from core.errors import AdapterError, UnknownName
from finetune import gguf_file, model
from finetune.recipe import Recipe

Format = Literal["adapter", "merged", "gguf"]
# A merged model must put the same token first nearly everywhere.
LEAST_AGREEMENT = 0.99
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


def export(name: str, form: Format, target: Path) -> Drift | None:
    """Write the adapter in a form to a new folder.

    Returns:
        the measured drift of a merged model; None for a copy.

    Raises:
        UnknownName: there is no finished adapter of that name.
        AdapterError: the target exists, or the merged model drifts too far to be called good.
    """
    folder = find_finished(name)
    if target.exists():
        raise AdapterError(f"{target} exists already. Name another folder with --to.")
    if form == "adapter":
        shutil.copytree(folder, target)
        return None
    drift = _merge(folder, target, form)
    (target / "export.json").write_text(json.dumps({"adapter": folder.name, **vars(drift)}))
    return drift


def find_finished(name: str) -> Path:
    """The folder of a finished adapter.

    Raises:
        UnknownName: with near matches.
    """
    finished = finished_adapters()
    if name not in finished:
        raise UnknownName("finished adapter", name, finished)
    return finished[name]


def _merge(folder: Path, target: Path, form: Format) -> Drift:
    recipe = Recipe(**yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8")))
    tokenizer = model.load_tokenizer(recipe)
    base = _base(recipe)
    adapted = PeftModel.from_pretrained(base, folder).eval()
    before = [_logits(adapted, tokenizer, text) for text in DRIFT_TEXTS]
    merged = adapted.merge_and_unload()
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".export-") as temporary:
        exported = Path(temporary) / "made"
        tokenizer.save_pretrained(exported)
        if form == "gguf":
            file = gguf_file.write(merged, tokenizer, exported, folder.name)
            reloaded = gguf_file.read(file, merged.config)
            for other in exported.iterdir():  # all of it is in the one file
                other.unlink() if other != file else None
        else:
            merged.save_pretrained(exported)
            reloaded = AutoModelForCausalLM.from_pretrained(exported, dtype=_dtype(recipe))
        drift = measured_drift(before, [_logits(reloaded, tokenizer, text) for text in DRIFT_TEXTS])
        if drift.agreement < LEAST_AGREEMENT:
            raise AdapterError(
                f"The {form} model is not the adapter: {drift.agreement:.1%} of the next tokens "
                f"agree (at least {LEAST_AGREEMENT:.0%} must), logits differ by up to "
                f"{drift.largest:.3g}. Nothing was written. Export it as adapter."
            )
        shutil.copy(folder / CARD, exported / CARD)
        exported.rename(target)
    return drift


def _base(recipe: Recipe) -> Any:
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
