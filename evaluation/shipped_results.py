"""Shipped figures: an adapter's beside the bare base's, in small committed records."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapter_store.calibration import read_calibration
from adapter_store.discovery import adapter_folders
from adapter_store.files import fingerprint_of
from core.errors import InputError
from core.paths import REPOSITORY, shipped_adapter_dirs
from core.settings import PROFILE_DIR
from evaluation import compare, figures, record
from evaluation.compare import FigureComparison
from evaluation.record import Baseline, Figure, Outcome, Run, RunSettings, Verdict
from tasks.spec import TaskSpec, load_tasks

RESULTS_FOLDER = Path("results") / "adapters"
HEADLINE = ("accuracy", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "perplexity")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FigurePair(_Strict):
    """One figure of the bare base and of the adapter over the same rows.

    Of the base and the comparison there is nothing where the base was not judged.
    """

    base: Figure | None = None
    adapter: Figure
    verdict: Verdict | None = Field(None, description="on the adapter")
    p: float | None = Field(None, description="two-sided, paired")
    test: Literal["paired bootstrap", "exact McNemar"] | None = None


class ShippedResult(_Strict):
    """results/adapters/NAME.json: what an adapter gains, and what it takes to see it again."""

    adapter: str
    task: str
    data: str = Field(description="last folder and name of the data file")
    sha256: str = Field(description="of the data file")
    reverse: bool = Field(False, description="the other direction of a translation")
    rows: int = Field(description="answered, by both; the figures rest on these")
    left_out: int = Field(description="rows that have no answer, of one of them")
    figures: dict[str, FigurePair] = Field(description="the primary one first")
    signatures: dict[str, str] = Field({}, description="as sacrebleu prints them")
    fingerprints: dict[str, str] = Field(description="base, revision, quantization, adapter, task")
    tokens_per_second: dict[str, float | None] = Field(description="base and adapter")
    baseline: Baseline | None = Field(
        None,
        description="what an adapter that chooses has to beat",
        exclude_if=lambda found: found is None,
    )
    commands: list[str] = Field(
        description="DIR is where the data lies, DATA where the paths of the recipe begin"
    )


def shipped_result(run: Path, base: Path | None = None) -> ShippedResult:
    """The record of an adapter's run, beside the bare base's over the same rows.

    Args:
        run: folder of the adapter's finished run.
        base: folder of the bare base's, where that was judged. A base that is only pretrained
            writes on to the last token that it may, and no request is answered so.

    Raises:
        InputError: one is not finished, they did not judge the same rows, they differ in more than
            the adapter, or they are not an adapter's run and the base's.
    """
    if base is None:
        return _alone(run)
    comparison = compare.compare(base, run)
    ours, bare = record.read(run), record.read(base)
    name = ours.settings.adapter
    if name is None or not bare.settings.bare:
        raise InputError(
            f"{run} judged {ours.settings.judged} and {base} {bare.settings.judged}; "
            "name the adapter's run, then the base's."
        )
    if comparison.changed:
        changes = "; ".join(f"{key}: {a!r} and {b!r}" for key, (a, b) in comparison.changed.items())
        raise InputError(f"The runs differ in more than the adapter ({changes}). Run both alike.")
    shown = {one.name: one for one in _headline_figures(comparison.compared)}
    before, after = (_answered(folder, comparison.left_out) for folder in (base, run))
    task, seed = load_tasks().get(ours.settings.task_name), ours.settings.seed
    return _result(
        ours,
        name,
        rows=comparison.rows,
        left_out=len(comparison.left_out),
        figures={name: _figure_pair(one, before, after, seed, task) for name, one in shown.items()},
        tokens_per_second={"base": _speed(bare), "adapter": _speed(ours)},
        commands=[command(bare.settings), command(ours.settings, ours.baseline)],
    )


def _alone(run: Path) -> ShippedResult:
    ours = record.read(run)
    if ours.status != "finished" or ours.settings.adapter is None:
        raise InputError(
            f"{run} is no finished run of an adapter: it judged {ours.settings.judged}."
        )
    shown = [n for i, n in enumerate(ours.figures) if i == 0 or n in HEADLINE]
    return _result(
        ours,
        ours.settings.adapter,
        rows=next(iter(ours.figures.values())).rows,
        left_out=ours.failed,
        figures={name: FigurePair(adapter=ours.figures[name]) for name in shown},
        tokens_per_second={"adapter": _speed(ours)},
        commands=[command(ours.settings, ours.baseline)],
    )


def _result(
    ours: Run, adapter: str, *, figures: dict[str, FigurePair], **values: Any
) -> ShippedResult:
    return ShippedResult(
        adapter=adapter,
        task=ours.settings.task_name,
        data=ours.settings.data,
        sha256=ours.settings.sha256,
        reverse=ours.settings.reverse,
        figures=figures,
        signatures={n: text for n, text in ours.signatures.items() if n in figures},
        fingerprints={**ours.settings.fingerprints, "task": ours.settings.task},
        baseline=ours.baseline,
        **values,
    )


def command(settings: RunSettings, baseline: Baseline | None = None) -> str:
    """The command that makes the run again, with its baseline where one was measured."""
    words = ["python", "-m", "evaluation", "run", "--task", settings.task_name]
    words += ["--data", f"DIR/{settings.data}", "--adapter", settings.adapter or "base"]
    words += [word for pair in settings.columns.items() for word in ("--column", "=".join(pair))]
    for option, pairs in (("--fill", settings.fills), ("--answer", settings.answers)):
        words += [word for pair in pairs.items() for word in (option, "=".join(pair))]
    words += [word for name, value in settings.form.items() for word in (f"--{name}", value)]
    words += ["--labels", settings.labels] if settings.labels else []
    words += ["--limit", str(settings.limit)] if settings.limit is not None else []
    words += ["--reverse"] if settings.reverse else []
    words += ["--seed", str(settings.seed)] if settings.seed else []
    words += ["--data-folder", "DATA"] if baseline and baseline.compared else []
    profile = _profile(settings.fingerprints)
    words += ["--profile", profile] if profile else []
    return shlex.join([*words, "--output", f"runs/{settings.adapter or 'base'}"])


def write(file: Path, result: ShippedResult) -> None:
    """Put a record down as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.model_dump(mode="json"), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read(root: Path = REPOSITORY) -> dict[Path, ShippedResult]:
    """The committed records by their path under `root`, in the order of their names.

    Raises:
        InputError: a file is no such record.
    """
    return {
        file.relative_to(root): _read(file)
        for file in sorted((root / RESULTS_FOLDER).glob("*.json"))
    }


def outdated(root: Path = REPOSITORY) -> list[str]:
    """Why records say nothing about what ships, a sentence each.

    A record holds for the weights and the task (prompt, labels, decoding) that were judged.

    Raises:
        InputError: a file is no record.
    """
    tasks = {name: task.fingerprint for name, task in load_tasks([REPOSITORY / "tasks"]).items()}
    reasons = []
    for path, shipped in read(root).items():
        ships = {**_shipped(root, shipped.adapter), "task": tasks.get(shipped.task)}
        reasons += [
            f"{path}: the {kind} of {shipped.adapter} was {shipped.fingerprints.get(kind)} when it "
            f"was judged and is {now or 'not there'} now. Judge it again, or remove the record."
            for kind, now in ships.items()
            if shipped.fingerprints.get(kind) != now
        ]
    return reasons


def _answered(folder: Path, left_out: Sequence[int]) -> list[Outcome]:
    return [outcome for outcome in record.outcomes(folder) if outcome.line not in left_out]


def _headline_figures(compared: Sequence[FigureComparison]) -> list[FigureComparison]:
    """The primary figure, and those that a table shows."""
    return [one for i, one in enumerate(compared) if i == 0 or one.name in HEADLINE]


def _figure_pair(
    one: FigureComparison,
    base: Sequence[Outcome],
    adapter: Sequence[Outcome],
    seed: int,
    task: TaskSpec | None,
) -> FigurePair:
    both = [
        figures.figure(figures.statistic(one.name, rows, task), seed) for rows in (base, adapter)
    ]
    return FigurePair(
        base=both[0], adapter=both[1], verdict=one.verdict, p=one.difference.p, test=one.test
    )


def _speed(run: Run) -> float | None:
    return run.cost.tokens_per_second if run.cost else None


def _profile(fingerprints: dict[str, str]) -> str | None:
    """The shipped profile whose base and quantization these are."""
    from engine.starter import find_starter

    for file in sorted(PROFILE_DIR.glob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        starter = find_starter(values["base"])
        base = starter.name if starter else values["base"]
        if (base, values["quantization"]) == (fingerprints["base"], fingerprints["quantization"]):
            return file.stem
    return None


def _read(file: Path) -> ShippedResult:
    try:
        return ShippedResult(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, ValidationError) as error:
        raise InputError(
            f"{file} is no record of shipped figures. Make it again with "
            "`python -m evaluation keep`."
        ) from error


def _shipped(root: Path, adapter: str) -> dict[str, str | None]:
    """Fingerprints of the adapter that ships and of its biases; None where there is none."""
    folder = adapter_folders(shipped_adapter_dirs(root)).get(adapter)
    biases = read_calibration(folder).fingerprints.get("biases") if folder else None
    try:
        return {"adapter": fingerprint_of(folder) if folder else None, "biases": biases}
    except FileNotFoundError:
        return {"adapter": None, "biases": biases}
