"""adapter_config.json, as far as serving reads it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from adapter_store.files import ADAPTER_CONFIG, read_json
from core.errors import AdapterError

PATTERN_SECONDS = 1.0  # to match all layers' names with patterns that someone else wrote
# Keys of PEFT's LoraConfig that serving reads, and those that only training needs. Any other key
# may only be switched off: it would change what the adapter computes. (Not asked of PEFT itself:
# importing it takes five seconds of every start.)
SERVED = {"peft_type", "base_model_name_or_path", "r", "lora_alpha", "alpha_pattern", "use_rslora"}
TRAINING_ONLY = {
    "auto_mapping", "bias", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules",
    "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_dropout", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size",
    "rank_pattern", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip


@dataclass(frozen=True)
class PeftConfig:
    """A LoRA adapter's settings.

    Attributes:
        adapter: its name.
        base: name of the base it was trained on, as the file has it.
        alpha: what the update is multiplied by, before it is divided by the rank.
        alpha_pattern: regular expression of layers' names -> their own alpha.
        rslora: whether the update is divided by the square root of the rank.
    """

    adapter: str
    base: Any
    alpha: float
    alpha_pattern: Mapping[str, float]
    rslora: bool

    def require_base(self, loaded: str) -> None:
        """See that the adapter was trained on the base that is loaded.

        Hub ids are compared; of a local folder only the last part can be.

        Raises:
            AdapterError: it was trained on another one.
        """
        same = isinstance(self.base, str) and (
            self.base == loaded or Path(self.base).name.lower() == Path(loaded).name.lower()
        )
        if not same:
            raise AdapterError(
                f"{self.adapter} was trained on {self.base!r}; the base that is loaded is "
                f"{loaded!r}."
            )

    def scalings(self, ranks: Mapping[str, int]) -> dict[str, float]:
        """Layer -> what its update is multiplied by: alpha / rank, or alpha / sqrt(rank) by rsLoRA.

        Args:
            ranks: layer -> rank.

        Raises:
            AdapterError: `alpha_pattern` holds no regular expressions, or slow ones.
        """
        until = time.monotonic() + PATTERN_SECONDS

        def matches(pattern: str, layer: str) -> bool:
            left = max(until - time.monotonic(), 1e-6)
            return regex.match(rf"(.*\.)?({pattern})$", layer, timeout=left) is not None

        def alpha(layer: str) -> float:
            own = (value for key, value in self.alpha_pattern.items() if matches(key, layer))
            return next(own, self.alpha)

        try:
            return {
                layer: float(alpha(layer)) / (math.sqrt(rank) if self.rslora else rank)
                for layer, rank in ranks.items()
            }
        except (regex.error, TimeoutError) as error:
            raise AdapterError(
                f"{self.adapter}: alpha_pattern cannot be matched ({error})."
            ) from error


def read_peft_config(folder: Path) -> PeftConfig:
    """The settings of an adapter that can be served.

    Raises:
        AdapterError: it is no LoRA adapter, uses what is not served, or its numbers are none.
        OSError: the file cannot be read.
    """
    name, values = folder.name, read_json(folder / ADAPTER_CONFIG)
    if not isinstance(values, dict) or values.get("peft_type") != "LORA":
        raise AdapterError(f"{name}: {ADAPTER_CONFIG} does not describe a LoRA adapter.")
    used = sorted(k for k, value in values.items() if value and k not in SERVED | TRAINING_ONLY)
    if values.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise AdapterError(f"{name} uses {', '.join(used)}, which this engine cannot serve.")
    if not isinstance(values.get("r"), int) or not _is_number(values.get("lora_alpha")):
        raise AdapterError(f"{name}: {ADAPTER_CONFIG} needs the numbers r and lora_alpha.")
    patterns = values.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or not all(map(_is_number, patterns.values())):
        raise AdapterError(f"{name}: {ADAPTER_CONFIG}: alpha_pattern gives no numbers to layers.")
    return PeftConfig(
        adapter=name,
        base=values.get("base_model_name_or_path"),
        alpha=values["lora_alpha"],
        alpha_pattern=patterns,
        rslora=bool(values.get("use_rslora")),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < sys.float_info.max
