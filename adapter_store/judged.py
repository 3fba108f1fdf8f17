"""What the shipped adapters were judged at: the records under results/adapters/, read in one place.

`evaluation/shipped_results.py` writes them; here is only what an answer says of itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from core.paths import REPOSITORY
from tasks.spec import Both

RECORDS = REPOSITORY / "results" / "adapters"
DATA_SETS_FILE = Path(__file__).with_name("data_sets.yaml")
MATCHING = ("base", "quantization", "adapter", "task")  # what a figure holds for


class _Tolerant(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DataSet(_Tolerant):
    """What a judged data set is, see data_sets.yaml."""

    texts: Both
    language: str | None = None
    slots: dict[str, str] = {}
    characters: int


class Estimate(_Tolerant):
    """A figure, with its 95% interval."""

    value: float
    low: float
    high: float


class Pair(_Tolerant):
    """A figure of the adapter, and of the bare base where that was judged too."""

    adapter: Estimate
    base: Estimate | None = None


class JudgedRecord(_Tolerant):
    """A file of results/adapters/, as far as an answer speaks of it. The first figure decides."""

    adapter: str
    task: str
    data: str
    reverse: bool = False
    rows: int
    figures: dict[str, Pair]
    fingerprints: dict[str, str]

    @property
    def data_set(self) -> DataSet | None:
        """What it was judged on, in the direction that was judged; None where nobody wrote it down,
        and then it is not known which answers it speaks of.
        """
        found = _data_sets().get(Path(self.data).parts[0])
        if found is None or not self.reverse:
            return found
        turned = dict(zip(found.slots, reversed(found.slots.values()), strict=True))
        return found.model_copy(update={"slots": turned})

    @property
    def figure(self) -> tuple[str, Pair]:
        """Name and values of the figure that decides."""
        return next(iter(self.figures.items()))


def judged_records(fingerprints: Mapping[str, str]) -> list[JudgedRecord]:
    """The records of just this adapter, for just this task, on just this base.

    Args:
        fingerprints: as a step's; one without an adapter has no record.
    """
    wanted = [fingerprints.get(key) for key in MATCHING]
    return [one for one in _records() if [one.fingerprints.get(key) for key in MATCHING] == wanted]


@cache
def _records() -> tuple[JudgedRecord, ...]:
    texts = (file.read_text(encoding="utf-8") for file in sorted(RECORDS.glob("*.json")))
    return tuple(JudgedRecord(**json.loads(text)) for text in texts)


@cache
def _data_sets() -> dict[str, DataSet]:
    values = yaml.safe_load(DATA_SETS_FILE.read_text(encoding="utf-8"))
    return {name: DataSet(**value) for name, value in values.items()}
