"""The files of an adapter's folder, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core import fingerprint
from core.errors import AdapterError

ADAPTER_CONFIG = "adapter_config.json"  # PEFT's: base, rank, layers
ADAPTER_WEIGHTS = "adapter_model.safetensors"
RUN_RECORD = "run.json"  # what its training read and made it for
CALIBRATION = "calibration.json"  # temperature and biases of its label scores
RECIPE_FILE = "recipe.yaml"  # repeats its training
ORIGINS = "origins.json"  # where each value of the recipe came from
CARD = "README.md"
CURVE, CURVE_PLOT = "curve.json", "curve.png"  # training and validation loss by step

MAX_JSON_BYTES = 2**20


def fingerprint_of(folder: Path) -> str:
    """Hash of an adapter's config and weights: the same for what answers the same.

    Raises:
        OSError: one of the two cannot be read.
    """
    return fingerprint.of_files([folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS])


def read_json(file: Path) -> Any:
    """What a JSON file of an adapter's folder holds.

    Raises:
        AdapterError: it is larger than a MiB, or no JSON.
        OSError: it cannot be read.
    """
    name = file.parent.name
    if file.stat().st_size > MAX_JSON_BYTES:
        raise AdapterError(f"{name}: {file.name} is larger than {MAX_JSON_BYTES / 2**20:.0f} MiB.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{name}: {file.name} is not JSON ({error}).") from error
