"""A judged adapter into the chat's use, with what it won by; and out of it again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapter_store.calibration import Calibration, read_calibration, write_calibration
from adapter_store.discovery import find_adapter
from adapter_store.files import fingerprint_of
from adapter_store.promotions import PromotionEvent, Promotions
from core.errors import InputError
from evaluation import choice_metrics, compare, figures, record
from evaluation.gate_verdict import GateVerdict
from evaluation.record import Run


def promote(
    candidate: Path,
    in_place: Path,
    verdict: GateVerdict,
    force: str = "",
    *,
    by: str = "",
    why: str = "",
    share: float = 0,
) -> PromotionEvent:
    """Let the chat use the adapter of a run by default, calibrated as the run found.

    Args:
        candidate: folder of the run that judged it.
        in_place: folder of the run it was compared with.
        verdict: of the gate on both.
        force: why it is promoted though the gate did not find it better.
        by, why: who promotes it, and what for; kept with what it won by.
        share: of the conversations that it answers, as a trial; 0 is all of them. What a trial
            needs is no more than not to be found worse.

    Raises:
        InputError: the gate did not find it better, the run judged the bare base, or the adapter
            has changed since.
    """
    run, before = record.read(candidate), record.read(in_place)
    name = run.settings.adapter
    if name is None:
        raise InputError(
            f"{candidate} judged {run.settings.judged}; only an adapter can be promoted."
        )
    fit = ("better", "not enough evidence") if share else ("better",)
    if verdict.answer not in fit and not force:
        failed = "; ".join(
            f"{c.name}: {c.reason.removesuffix('.')}" for c in verdict.checks if not c.passed
        )
        raise InputError(f"{name} did not pass the gate, which says {verdict.answer} ({failed}). "
                         'To promote it all the same, say why: --force "…".')  # fmt: skip
    folder = find_adapter(name)
    calibration = read_calibration(folder)
    _require_unchanged(run, folder, calibration)
    if run.chosen is not None:
        write_calibration(
            folder,
            Calibration(
                temperature=run.chosen.temperature.value,
                biases=calibration.biases,
                data=run.settings.data,
                sha256=run.settings.sha256,
                rows=run.settings.rows - run.failed,
            ),
        )
    said = {"by": by, "why": why, "forced": force}
    evidence = _evidence(run, before, verdict) | {name: text for name, text in said.items() if text}
    if run.chosen is not None and verdict.answer == "better":
        evidence["watch"] = _for_the_watch(candidate, in_place, run.chosen.temperature.value)
    fingerprint = run.settings.fingerprints["adapter"]
    return Promotions().promote(run.settings.task_name, name, fingerprint, evidence, share)


def _require_unchanged(run: Run, folder: Path, calibration: Calibration) -> None:
    """See that what would be promoted is what was judged.

    Raises:
        InputError: it is not.
    """
    judged, now = run.settings.fingerprints, fingerprint_of(folder)
    if now != judged["adapter"]:
        raise InputError(
            f"{folder.name} has changed since it was judged ({judged['adapter']} then, {now} now). "
            "Judge it again."
        )
    if judged.get("biases") != calibration.fingerprints.get("biases"):
        raise InputError(
            f"{folder.name}: its biases have changed since it was judged. Judge it again."
        )


def _evidence(run: Run, before: Run, verdict: GateVerdict) -> dict[str, Any]:
    """What an adapter won by."""
    return {
        "data": run.settings.data,
        "sha256": run.settings.sha256,
        "rows": verdict.comparison.rows,
        "before": before.settings.answered_by,
        "fingerprints": {"won": run.settings.fingerprints, "before": before.settings.fingerprints},
        "figures": {c.name: [c.first, c.second, c.verdict] for c in verdict.comparison.compared},
        "answer": verdict.answer,
        "checks": [check.record() for check in verdict.checks],
        "gain": asdict(verdict.gain),
        "others": [asdict(other) for other in verdict.others],
    }


def _for_the_watch(candidate: Path, in_place: Path, temperature: float) -> dict[str, float]:
    """By what the chat sees whether the adapter goes on being better, without labels.

    `bound` is the accuracy of what it replaces. `gap` is by how much it is right more often than
    its confidence, as it is served, says; `deviation` and `rows` say how well that is known.
    """
    before, after = compare.same_rows(in_place, candidate)
    scores = figures.label_scores(after)
    gaps = scores.right - choice_metrics.confidence(scores, temperature)
    return {
        "bound": figures.statistic("accuracy", before).over_all(),
        "gap": float(gaps.mean()),
        "deviation": float(gaps.std()),
        "rows": len(after),
    }
