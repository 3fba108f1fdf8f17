"""calibration.json: what an adapter's label scores are shifted by and divided by."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adapter_store.files import CALIBRATION, read_json
from core import fingerprint
from core.errors import AdapterError


@dataclass(frozen=True)
class Calibration:
    """Temperature and biases of label scores (vector scaling, Guo et al. 2017), and their rows.

    Attributes:
        temperature: above 0; 1 leaves the scores as they are.
        biases: label -> what is added to its log-likelihood before.
        data, sha256: names and hashes of the data files they were fitted on.
        rows: how many.
    """

    temperature: float = 1.0
    biases: dict[str, float] = field(default_factory=dict)
    data: str = ""
    sha256: str = ""
    rows: int = 0

    def with_biases(self, logprobs: Mapping[str, float]) -> dict[str, float]:
        """The scores with their biases; as they are where a label is not one of these."""
        if not self.biases or not set(logprobs) <= set(self.biases):
            return dict(logprobs)
        return {label: value + self.biases[label] for label, value in logprobs.items()}

    @property
    def fingerprints(self) -> dict[str, str]:
        """`biases` -> their hash, where there are any: they decide choices as weights do."""
        return {"biases": fingerprint.of_value(self.biases)} if self.biases else {}


NOT_CALIBRATED = Calibration()


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Put the file into an adapter's folder, in one step."""
    temporary = folder / f".{CALIBRATION}.writing"
    text = json.dumps(asdict(calibration), indent=1, ensure_ascii=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, folder / CALIBRATION)


def read_calibration(folder: Path) -> Calibration:
    """The calibration of an adapter; `NOT_CALIBRATED` where none was fitted.

    Raises:
        AdapterError: the file holds none.
        OSError: it cannot be read.
    """
    name, file = folder.name, folder / CALIBRATION
    if not file.is_file():
        return NOT_CALIBRATED
    try:
        stored: dict[str, Any] = read_json(file)
        temperature = float(stored["temperature"])
        biases = {str(label): float(bias) for label, bias in stored.get("biases", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise AdapterError(f"{name}: {CALIBRATION} holds no calibration ({error!r}).") from error
    if not (math.isfinite(temperature) and temperature > 0):
        raise AdapterError(f"{name}: {CALIBRATION}: the temperature is above 0, not {temperature}.")
    if odd := [bias for bias in biases.values() if not math.isfinite(bias)]:
        raise AdapterError(f"{name}: {CALIBRATION}: a bias is a finite number, not {odd[0]}.")
    known = {key: stored[key] for key in ("data", "sha256", "rows") if key in stored}
    return Calibration(temperature, biases, **known)
