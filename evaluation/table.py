"""Shipped figures: small committed records of them, and the README's table made from these."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapter_store.files import CARD, fingerprint_of
from core.errors import InputError
from core.paths import REPOSITORY
from core.settings import PROFILE_DIR
from evaluation import compare, figures, record
from evaluation.compare import FigureComparison, Verdict
from evaluation.record import Figure, Outcome, Run, RunSettings
from evaluation.report import number
from tasks.spec import Lang, load_tasks

RESULTS_FOLDER = Path("results") / "adapters"
TABLE_BEGIN, TABLE_END = "<!-- results -->", "<!-- /results -->"
HEADLINE = ("accuracy", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "perplexity")
SHARES = {"accuracy", "macro_f1"}  # shown in percent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FigurePair(_Strict):
    """One figure of the bare base and of the adapter over the same rows."""

    base: Figure
    adapter: Figure
    verdict: Verdict = Field(description="on the adapter")
    p: float = Field(description="two-sided, paired")
    test: Literal["paired bootstrap", "exact McNemar"]


class ShippedResult(_Strict):
    """results/adapters/NAME.json: what an adapter gains, and what it takes to see it again."""

    adapter: str
    task: str
    data: str = Field(description="last folder and name of the data file")
    sha256: str = Field(description="of the data file")
    reverse: bool = Field(False, description="the other direction of a translation")
    rows: int = Field(description="answered by both; the figures rest on these")
    left_out: int = Field(description="rows that one of them has no answer for")
    figures: dict[str, FigurePair] = Field(description="the primary one first")
    signatures: dict[str, str] = Field({}, description="as sacrebleu prints them")
    fingerprints: dict[str, str] = Field(description="base, revision, quantization, adapter, task")
    tokens_per_second: dict[str, float | None] = Field(description="base and adapter")
    commands: list[str] = Field(description="DIR is where the data lies")


@dataclass(frozen=True)
class _Words:
    """What a README says in its language."""

    file: str
    head: str
    rows: str
    reverse: str
    span: str
    names: dict[str, str]
    verdicts: dict[Verdict, str]
    note: str


README_WORDS: dict[Lang, _Words] = {
    "en": _Words(
        file="README.md",
        head="| adapter | measured on | figure | base | with adapter |",
        rows="{}, {:,} rows",
        reverse="{}, reversed",
        span="{} ({} to {})",
        names={
            "bleu": "BLEU",
            "chrf": "chrF++",
            "rouge_1": "ROUGE-1",
            "rouge_2": "ROUGE-2",
            "rouge_l": "ROUGE-L",
            "perplexity": "perplexity, lower is better",
        },
        verdicts={
            "better": "**{}**",
            "worse": "{}, worse",
            "no difference shown": "{}, no difference shown",
        },
        note="In brackets the 95% interval; bold: better than the base, paired on the same "
        "rows (p < 0.05). Each data set links to its record, with p, fingerprints and the commands "
        "to repeat it.",
    ),
    "zh": _Words(
        file="README.zh.md",
        head="| 适配器 | 测试集 | 指标 | 基座 | 加适配器 |",
        rows="{}，{:,} 行",
        reverse="{}，反向",
        span="{}（{} 至 {}）",
        names={
            "accuracy": "准确率",
            "bleu": "BLEU",
            "chrf": "chrF++",
            "rouge_1": "ROUGE-1",
            "rouge_2": "ROUGE-2",
            "rouge_l": "ROUGE-L",
            "perplexity": "困惑度，越低越好",
        },
        verdicts={"better": "**{}**", "worse": "{}，更差", "no difference shown": "{}，未见差异"},
        note="括号内为 95% 区间。粗体：在相同数据行上做配对检验，优于基座（p < 0.05）。"
        "每个测试集链接到它的记录，其中有 p 值、指纹和复现命令。",
    ),
}


def shipped_result(run: Path, base: Path) -> ShippedResult:
    """The record of an adapter's run beside the bare base's over the same rows.

    Args:
        run: folder of the adapter's finished run.
        base: folder of the bare base's.

    Raises:
        InputError: one is not finished, they did not judge the same rows, they differ in more than
            the adapter, or they are not an adapter's run and the base's.
    """
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
    seed = ours.settings.seed
    return ShippedResult(
        adapter=name,
        task=ours.settings.task_name,
        data=ours.settings.data,
        sha256=ours.settings.sha256,
        reverse=ours.settings.reverse,
        rows=comparison.rows,
        left_out=len(comparison.left_out),
        figures={name: _figure_pair(one, before, after, seed) for name, one in shown.items()},
        signatures={n: text for n, text in ours.signatures.items() if n in shown},
        fingerprints={**ours.settings.fingerprints, "task": ours.settings.task},
        tokens_per_second={"base": _speed(bare), "adapter": _speed(ours)},
        commands=[command(bare.settings), command(ours.settings)],
    )


def command(settings: RunSettings) -> str:
    """The command that makes the run again."""
    words = ["python", "-m", "evaluation", "run", "--task", settings.task_name]
    words += ["--data", f"DIR/{settings.data}", "--adapter", settings.adapter or "base"]
    words += [word for pair in settings.columns.items() for word in ("--column", "=".join(pair))]
    words += ["--labels", settings.labels] if settings.labels else []
    words += ["--limit", str(settings.limit)] if settings.limit is not None else []
    words += ["--reverse"] if settings.reverse else []
    words += ["--seed", str(settings.seed)] if settings.seed else []
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
        ships = {"adapter": _shipped(root, shipped.adapter), "task": tasks.get(shipped.task)}
        reasons += [
            f"{path}: the {kind} of {shipped.adapter} was {shipped.fingerprints.get(kind)} when it "
            f"was judged and is {now or 'not there'} now. Judge it again, or remove the record."
            for kind, now in ships.items()
            if shipped.fingerprints.get(kind) != now
        ]
    return reasons


def as_markdown(records: dict[Path, ShippedResult], lang: Lang) -> str:
    """The table with its note; nothing where there are no records."""
    if not records:
        return ""
    words = README_WORDS[lang]
    lines = [line for path, result in records.items() for line in _lines(path, result, words)]
    return "\n".join([words.head, "|---|---|---|---|---|", *lines, "", words.note]) + "\n"


def rewritten(text: str, table: str, name: str) -> str:
    """The README's text with the table between its markers.

    Raises:
        InputError: there is not exactly one pair of markers, each on its line.
    """
    lines = text.splitlines(keepends=True)
    places = [
        (i, line.strip())
        for i, line in enumerate(lines)
        if line.strip() in {TABLE_BEGIN, TABLE_END}
    ]
    if [mark for _, mark in places] != [TABLE_BEGIN, TABLE_END]:
        raise InputError(
            f"{name} needs the lines {TABLE_BEGIN} and {TABLE_END} once, in this order."
        )
    (begin, _), (end, _) = places
    return "".join([*lines[: begin + 1], table, *lines[end:]])


def update(root: Path = REPOSITORY, check: bool = False) -> list[str]:
    """Write the table into both READMEs.

    Args:
        root: the repository.
        check: write nothing.

    Returns:
        names of the READMEs that the records ask to be different.

    Raises:
        InputError: a record is damaged or does not hold for what ships, or markers are missing.
    """
    wrong = outdated(root)
    if wrong:
        raise InputError("\n".join(wrong))
    records, different = read(root), []
    for lang, words in README_WORDS.items():
        file = root / words.file
        text = file.read_text(encoding="utf-8")
        wanted = rewritten(text, as_markdown(records, lang), words.file)
        if wanted != text:
            different.append(words.file)
            if not check:
                file.write_text(wanted, encoding="utf-8")
    return different


def _answered(folder: Path, left_out: Sequence[int]) -> list[Outcome]:
    return [outcome for outcome in record.outcomes(folder) if outcome.line not in left_out]


def _headline_figures(compared: Sequence[FigureComparison]) -> list[FigureComparison]:
    """The primary figure, and those that a table shows."""
    return [one for i, one in enumerate(compared) if i == 0 or one.name in HEADLINE]


def _figure_pair(
    one: FigureComparison, base: Sequence[Outcome], adapter: Sequence[Outcome], seed: int
) -> FigurePair:
    both = [figures.figure(figures.BUILDERS[one.name](rows), seed) for rows in (base, adapter)]
    return FigurePair(
        base=both[0], adapter=both[1], verdict=one.verdict, p=one.difference.p, test=one.test
    )


def _speed(run: Run) -> float | None:
    return run.cost.tokens_per_second if run.cost else None


def _profile(fingerprints: dict[str, str]) -> str | None:
    """The shipped profile whose base and quantization these are."""
    from engine import starter

    for file in sorted(PROFILE_DIR.glob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        base = starter.NAME if values["base"] == "starter" else values["base"]
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


def _shipped(root: Path, adapter: str) -> str | None:
    """Fingerprint of the adapter that ships, as the engine makes it; None without one."""
    folder = root / "adapters" / adapter
    try:
        return fingerprint_of(folder)
    except FileNotFoundError:
        return None


def _lines(path: Path, result: ShippedResult, words: _Words) -> Iterator[str]:
    """A table line a figure; the adapter and the data stand in the first only."""
    data = f"[{Path(result.data).with_suffix('')}]({path.as_posix()})"
    if result.reverse:
        data = words.reverse.format(data)
    first = [
        f"[`{result.adapter}`](adapters/{result.adapter}/{CARD})",
        words.rows.format(data, result.rows),
    ]
    for name, one in result.figures.items():
        ours = words.verdicts[one.verdict].format(_spanned(name, one.adapter, words))
        label = words.names.get(name, name.replace("_", " "))
        cells = [*first, label, _shown(name, one.base.value), ours]
        yield f"| {' | '.join(cells)} |"
        first = ["", ""]


def _spanned(name: str, figure: Figure, words: _Words) -> str:
    values = (_shown(name, value) for value in (figure.value, figure.low, figure.high))
    return words.span.format(*values)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return number(value)
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:.3f}" if name.startswith("rouge") else f"{value:.1f}"
