"""calibration.json: the temperature that an adapter's label scores are divided by."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from adapter_store.files import CALIBRATION, read_json
from core.errors import AdapterError


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature, and the rows it was fitted on.

    Attributes:
        temperature: above 0; 1 leaves the scores as they are.
        data, sha256: name and hash of the data file.
        rows: how many.
    """

    temperature: float
    data: str
    sha256: str
    rows: int


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Put the file into an adapter's folder, in one step."""
    temporary = folder / f".{CALIBRATION}.writing"
    text = json.dumps(asdict(calibration), indent=1, ensure_ascii=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, folder / CALIBRATION)


def read_temperature(folder: Path) -> float:
    """The temperature of an adapter; 1 where none was fitted.

    Raises:
        AdapterError: the file holds none.
        OSError: it cannot be read.
    """
    name, file = folder.name, folder / CALIBRATION
    if not file.is_file():
        return 1.0
    try:
        temperature = float(read_json(file)["temperature"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise AdapterError(f"{name}: {CALIBRATION} holds no temperature ({error!r}).") from error
    if not (math.isfinite(temperature) and temperature > 0):
        raise AdapterError(f"{name}: {CALIBRATION}: the temperature is above 0, not {temperature}.")
    return temperature
