"""What a training logged so far: losses, pace, and the answers to a few rows."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from core import paths

CURVES = "curves.jsonl"  # as finetune's `jsonl` tracker writes it
SAMPLE = "sample/"  # before the number of a row that is answered
RECENT = 20  # steps that the pace is taken over


@dataclass(frozen=True)
class Curves:
    """How a training went so far.

    Attributes:
        train, validation: (step, loss) in nats a token.
        samples: row -> its answers, the latest last, each once.
        step, steps: done, and to do; 0 where that is not known yet.
        rows_per_second: over the last steps.
        seconds_left: None until a pace is known.
    """

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    samples: dict[str, list[str]] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    rows_per_second: float = 0.0
    seconds_left: float | None = None


def read_curves(adapter: str) -> Curves:
    """Those of the latest training of that name; empty before its first step."""
    files = sorted((paths.user_dir() / "logs" / adapter).glob(f"*/{CURVES}"))
    return _read(files[-1]) if files else Curves()


def forget_samples(adapter: str) -> None:
    """Leave the answers to rows out of what all trainings of that name logged."""
    for file in (paths.user_dir() / "logs" / adapter).glob(f"*/{CURVES}"):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if SAMPLE not in line)
        beside = file.with_suffix(".writing")
        beside.write_text(kept, encoding="utf-8")
        os.replace(beside, file)


def _read(file: Path) -> Curves:
    train: dict[int, float] = {}
    validation: dict[int, float] = {}
    samples: dict[str, list[str]] = {}
    steps: list[dict[str, float]] = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # half a line, of a process that was killed
        if "loss/train" in line:
            train[line["step"]] = line["loss/train"]
            steps.append(line)
        if "loss/validation" in line:
            validation[line["step"]] = line["loss/validation"]
        for name, answer in line.items():
            if name.startswith(SAMPLE) and answer not in samples.setdefault(name, [])[-1:]:
                samples[name].append(answer)
    if not steps:
        return Curves([], sorted(validation.items()), samples)
    first, last = steps[max(0, len(steps) - RECENT)], steps[-1]
    spent, rows = last["seconds"] - first["seconds"], last["rows"] - first["rows"]
    done, total = int(last["step"]), int(last["steps"])
    pace = spent / (last["step"] - first["step"]) if last["step"] > first["step"] else None
    return Curves(
        sorted(train.items()),
        sorted(validation.items()),
        samples,
        done,
        total,
        rows / spent if spent > 0 else 0.0,
        (total - done) * pace if pace and total else None,
    )
