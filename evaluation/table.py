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

from core import fingerprint
from core.errors import InputError
from core.paths import REPOSITORY
from core.settings import PROFILE_DIR
from evaluation import compare, figures, record
from evaluation.compare import Compared, Verdict
from evaluation.promotion import FILES
from evaluation.record import Asked, Figure, Outcome, Run
from evaluation.report import number
from tasks.spec import TaskSpec, load_tasks

FOLDER = Path("results") / "adapters"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
HEADLINE = ("accuracy", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "perplexity")
SHARES = {"accuracy", "macro_f1"}  # shown in percent

Lang = Literal["en", "zh"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Beside(_Strict):
    """One figure of the bare base and of the adapter over the same rows."""

    base: Figure
    adapter: Figure
    verdict: Verdict = Field(description="on the adapter")
    p: float = Field(description="two-sided, paired")
    test: Literal["paired bootstrap", "exact McNemar"]


class Kept(_Strict):
    """results/adapters/NAME.json: what an adapter gains, and what it takes to see it again."""

    adapter: str
    task: str
    data: str = Field(description="last folder and name of the data file")
    sha256: str = Field(description="of the data file")
    reverse: bool = Field(False, description="the other direction of a translation")
    rows: int = Field(description="answered by both; the figures rest on these")
    left_out: int = Field(description="rows that one of them has no answer for")
    figures: dict[str, Beside] = Field(description="the primary one first")
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


WORDS: dict[Lang, _Words] = {
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


def keep(run: Path, base: Path) -> Kept:
    """The record of an adapter's run beside the bare base's over the same rows.

    Args:
        run: folder of the adapter's finished run.
        base: folder of the bare base's.

    Raises:
        InputError: one is not finished, they did not judge the same rows, they differ in more than
            the adapter, or they are not an adapter's run and the base's.
    """
    compared = compare.compare(base, run)
    ours, bare = record.read(run), record.read(base)
    name = ours.asked.adapter
    if name is None or bare.asked.adapter is not None:
        raise InputError(
            f"{run} judged {name or 'the bare base'} and {base} "
            f"{bare.asked.adapter or 'the bare base'}; name the adapter's run, then the base's."
        )
    if compared.changed:
        said = "; ".join(f"{key}: {a!r} and {b!r}" for key, (a, b) in compared.changed.items())
        raise InputError(f"The runs differ in more than the adapter ({said}). Run both alike.")
    before, after = (_answered(folder, compared.left_out) for folder in (base, run))
    task, seed = load_tasks().get(ours.asked.task_name), ours.asked.seed
    return Kept(
        adapter=name,
        task=ours.asked.task_name,
        data=ours.asked.data,
        sha256=ours.asked.sha256,
        reverse=ours.asked.reverse,
        rows=compared.rows,
        left_out=len(compared.left_out),
        figures={
            one.name: _beside(one, before, after, seed, task)
            for one in _headline(compared.compared)
        },
        signatures=ours.signatures,
        fingerprints={**ours.asked.fingerprints, "task": ours.asked.task},
        tokens_per_second={"base": _speed(bare), "adapter": _speed(ours)},
        commands=[command(bare.asked), command(ours.asked)],
    )


def command(asked: Asked) -> str:
    """The command that makes the run again."""
    words = ["python", "-m", "evaluation", "run", "--task", asked.task_name]
    words += ["--data", f"DIR/{asked.data}", "--adapter", asked.adapter or "base"]
    words += [word for pair in asked.columns.items() for word in ("--column", "=".join(pair))]
    words += ["--labels", asked.labels] if asked.labels else []
    words += ["--limit", str(asked.limit)] if asked.limit is not None else []
    words += ["--reverse"] if asked.reverse else []
    words += ["--seed", str(asked.seed)] if asked.seed else []
    profile = _profile(asked.fingerprints)
    words += ["--profile", profile] if profile else []
    return shlex.join([*words, "--output", f"runs/{asked.adapter or 'base'}"])


def write(file: Path, kept: Kept) -> None:
    """Put a record down as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(kept.model_dump(mode="json"), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def read(root: Path = REPOSITORY) -> dict[Path, Kept]:
    """The committed records by their path under `root`, in the order of their names.

    Raises:
        InputError: a file is no such record.
    """
    return {file.relative_to(root): _read(file) for file in sorted((root / FOLDER).glob("*.json"))}


def outdated(root: Path = REPOSITORY) -> list[str]:
    """Why records say nothing about what ships, a sentence each.

    A record holds for the weights and the task (prompt, labels, decoding) that were judged.

    Raises:
        InputError: a file is no record.
    """
    tasks = {name: task.fingerprint for name, task in load_tasks([REPOSITORY / "tasks"]).items()}
    found = []
    for path, kept in read(root).items():
        ships = {"adapter": _shipped(root, kept.adapter), "task": tasks.get(kept.task)}
        found += [
            f"{path}: the {part} of {kept.adapter} was {kept.fingerprints.get(part)} when it was "
            f"judged and is {now or 'not there'} now. Judge it again, or remove the record."
            for part, now in ships.items()
            if kept.fingerprints.get(part) != now
        ]
    return found


def as_markdown(records: dict[Path, Kept], lang: Lang) -> str:
    """The table with its note; nothing where there are no records."""
    if not records:
        return ""
    words = WORDS[lang]
    lines = [line for path, kept in records.items() for line in _lines(path, kept, words)]
    return "\n".join([words.head, "|---|---|---|---|---|", *lines, "", words.note]) + "\n"


def rewritten(text: str, table: str, name: str) -> str:
    """The README's text with the table between its markers.

    Raises:
        InputError: there is not exactly one pair of markers, each on its line.
    """
    lines = text.splitlines(keepends=True)
    places = [(i, line.strip()) for i, line in enumerate(lines) if line.strip() in {BEGIN, END}]
    if [mark for _, mark in places] != [BEGIN, END]:
        raise InputError(f"{name} needs the lines {BEGIN} and {END} once, in this order.")
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
    for lang, words in WORDS.items():
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


def _headline(compared: Sequence[Compared]) -> list[Compared]:
    """The primary figure, and those that a table shows."""
    return [one for i, one in enumerate(compared) if i == 0 or one.name in HEADLINE]


def _beside(
    one: Compared,
    base: Sequence[Outcome],
    adapter: Sequence[Outcome],
    seed: int,
    task: TaskSpec | None,
) -> Beside:
    made = [
        figures.figure(figures.statistic(one.name, rows, task), seed) for rows in (base, adapter)
    ]
    return Beside(
        base=made[0], adapter=made[1], verdict=one.verdict, p=one.difference.p, test=one.test
    )


def _speed(run: Run) -> float | None:
    return run.cost.tokens_per_second if run.cost else None


def _profile(made: dict[str, str]) -> str | None:
    """The shipped profile whose base and quantization these are."""
    from engine import starter

    for file in sorted(PROFILE_DIR.glob("*.yaml")):
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        base = starter.NAME if values["base"] == "starter" else values["base"]
        if (base, values["quantization"]) == (made["base"], made["quantization"]):
            return file.stem
    return None


def _read(file: Path) -> Kept:
    try:
        return Kept(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, ValidationError) as error:
        raise InputError(
            f"{file} is no record of shipped figures. Make it again with "
            "`python -m evaluation keep`."
        ) from error


def _shipped(root: Path, adapter: str) -> str | None:
    """Fingerprint of the adapter that ships, as the engine makes it; None without one."""
    files = [root / "adapters" / adapter / name for name in FILES]
    return fingerprint.of_files(files) if all(file.is_file() for file in files) else None


def _lines(path: Path, kept: Kept, words: _Words) -> Iterator[str]:
    """A table line a figure; the adapter and the data stand in the first only."""
    data = f"[{Path(kept.data).with_suffix('')}]({path.as_posix()})"
    if kept.reverse:
        data = words.reverse.format(data)
    first = [
        f"[`{kept.adapter}`](adapters/{kept.adapter}/README.md)",
        words.rows.format(data, kept.rows),
    ]
    for name, one in kept.figures.items():
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
