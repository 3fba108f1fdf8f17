"""What transformers 4 reads of a saved model, written beside what 5 does.

5 puts all of the rotary embedding under `rope_parameters`, which 4 passes over and takes its own
defaults, without a word; and names a tokenizer class that 4 does not have. That of 4 makes token
types where it is not told otherwise, which no such model takes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"


def write(folder: Path) -> None:
    """Add to the config and the tokenizer's of a model that transformers 5 has saved."""
    config = _read(folder / CONFIG)
    (folder / CONFIG).write_text(_json({**_rope(config["rope_parameters"]), **config}))
    values = _read(folder / TOKENIZER_CONFIG)
    values["tokenizer_class"] = "PreTrainedTokenizerFast"
    values["model_input_names"] = ["input_ids", "attention_mask"]  # else token types as well
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    (folder / TOKENIZER_CONFIG).write_text(_json(values))


def _rope(parameters: dict[str, Any]) -> dict[str, Any]:
    """4's names: one base for all layers, and another for those with a window."""
    full = parameters.get("full_attention", parameters)
    scaling = {k: v for k, v in full.items() if k != "rope_theta"}
    values = {
        "rope_theta": full["rope_theta"],
        "rope_scaling": scaling if scaling.get("rope_type", "default") != "default" else None,
    }
    if sliding := parameters.get("sliding_attention"):
        values["rope_local_base_freq"] = sliding["rope_theta"]
    return values


def _read(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
