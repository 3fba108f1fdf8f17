"""A judged adapter into the chat's use, with what it won by; and out of it again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from adapter_store.promotions import Entry, Promotions
from core import fingerprint
from core.errors import InputError
from evaluation import record
from evaluation.contamination import adapter_folder
from evaluation.gate import Verdict

FILES = ("adapter_config.json", "adapter_model.safetensors")
CALIBRATION = "calibration.json"


def promote(candidate: Path, in_place: Path, verdict: Verdict, force: str = "") -> Entry:
    """Let the chat use the adapter of a run by default, calibrated as the run found.

    Args:
        candidate: folder of the run that judged it.
        in_place: folder of the run it was compared with.
        verdict: of the gate on both.
        force: why it is promoted though the gate failed.

    Raises:
        InputError: the gate failed, the run judged the bare base, or the adapter has changed since.
    """
    run, before = record.read(candidate), record.read(in_place)
    name = run.asked.adapter
    if name is None:
        raise InputError(f"{candidate} judged the bare base; only an adapter can be promoted.")
    if not verdict.passed and not force:
        failed = "; ".join(f"{c.name}: {c.reason}" for c in verdict.checks if not c.passed)
        raise InputError(f"{name} did not pass the gate ({failed}). To promote it all the same, "
                         'say why: --force "…".')  # fmt: skip
    folder = adapter_folder(name)
    made = fingerprint.of_files([folder / file for file in FILES])
    if made != run.asked.fingerprints["adapter"]:
        raise InputError(
            f"{name} has changed since it was judged ({run.asked.fingerprints['adapter']} then, "
            f"{made} now). Judge it again."
        )
    if run.chosen is not None:
        _calibrate(folder, run)
    evidence = {
        "data": run.asked.data,
        "sha256": run.asked.sha256,
        "rows": verdict.comparison.rows,
        "before": before.asked.adapter or "base",
        "fingerprints": {"won": run.asked.fingerprints, "before": before.asked.fingerprints},
        "figures": {c.name: [c.first, c.second, c.verdict] for c in verdict.comparison.compared},
        "checks": [asdict(check) for check in verdict.checks],
    }
    if force:
        evidence["forced"] = force
    return Promotions().promote(run.asked.task_name, name, made, evidence)


def _calibrate(folder: Path, run: record.Run) -> None:
    """Write the temperature fitted on the run's rows beside the adapter."""
    assert run.chosen is not None
    values = {
        "temperature": run.chosen.temperature.value,
        "data": run.asked.data,
        "sha256": run.asked.sha256,
        "rows": run.asked.rows - run.failed,
    }
    temporary = folder / f".{CALIBRATION}.writing"
    temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, folder / CALIBRATION)
