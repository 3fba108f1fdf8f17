"""What training would see: rows refused, repeated, shared, unbalanced, foreign; time and memory."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core import paths
from core.errors import InputError
from finetune.data import DataSet
from finetune.examples import ExampleEncoder
from tasks import languages
from tasks.rows import Refusal, Row, duplicate_key

LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024)
LINES_SHOWN = 5  # lines named for each finding; the count says how many there are
LEAST_LETTERS = 40  # shorter texts are not judged by language: the guess is too uncertain
RARE_SHARE = 0.2  # a label with less than this share of an even split is called rare


@dataclass(frozen=True)
class Finding:
    """Something a person should know about the data, with the lines it is about."""

    what: str
    lines: list[int]

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.lines[:LINES_SHOWN]))
        more = ", …" if len(self.lines) > LINES_SHOWN else ""
        return f"{self.what} (lines {shown}{more})" if self.lines else self.what


def check_rows(data_set: DataSet, encoder: ExampleEncoder) -> list[Finding]:
    """Everything noteworthy about one data set's rows, worst first."""
    findings = [*_repeated(data_set.train), *_leaked(data_set.train, data_set.validation)]
    if encoder.task.kind == "choose":
        findings += _imbalance(data_set.train)
    findings += _other_languages(data_set.train, encoder)
    return findings


def histogram(lengths: Iterable[int]) -> dict[str, int]:
    """Counts by length: `≤16`, `≤32`, and so on."""
    counts = dict.fromkeys([*(f"≤{edge}" for edge in LENGTH_EDGES), f">{LENGTH_EDGES[-1]}"], 0)
    for length in lengths:
        edge = next((edge for edge in LENGTH_EDGES if length <= edge), None)
        counts[f"≤{edge}" if edge else f">{LENGTH_EDGES[-1]}"] += 1
    return {name: count for name, count in counts.items() if count}


def write_refused(refused: dict[str, list[Refusal]]) -> list[Path]:
    """Write each file's refused rows beside it, as JSON lines, or into the user's folder.

    Returns:
        the files written; a file without refusals leaves none behind.
    """
    written = []
    for place, rows in refused.items():
        source = Path(place)
        target = source.with_name(f"{source.name}.refused.jsonl")
        if not rows:
            continue
        lines = [json.dumps(asdict(row), ensure_ascii=False) for row in rows]
        try:
            target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError:  # the data's folder cannot be written to
            target = paths.user_dir() / "refused" / target.name.replace("/", "_")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(target)
    return written


def _repeated(rows: Sequence[Row]) -> list[Finding]:
    by_text: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_text[duplicate_key(row.text) + str(sorted(row.slots.items()))].append(row)
    groups = [group for group in by_text.values() if len(group) > 1]
    clashing = [g for g in groups if len({row.answer for row in g}) > 1]
    same = [g for g in groups if len({row.answer for row in g}) == 1]
    findings = []
    if clashing:
        lines = [row.line for group in clashing for row in group]
        findings.append(Finding(f"{len(clashing)} texts have several different answers", lines))
    if same:
        lines = [row.line for group in same for row in group[1:]]
        findings.append(Finding(f"{len(lines)} rows repeat an earlier one", lines))
    return findings


def _leaked(train: Sequence[Row], validation: Sequence[Row]) -> list[Finding]:
    validation_keys = {duplicate_key(row.text) for row in validation}
    lines = [row.line for row in train if duplicate_key(row.text) in validation_keys]
    what = f"{len(lines)} training rows are in the validation data too: its figures would flatter"
    return [Finding(what, lines)] if lines else []


def _imbalance(rows: Sequence[Row]) -> list[Finding]:
    counts = Counter(row.answer for row in rows)
    if len(counts) == 1:
        return [Finding(f"every row has the label {rows[0].answer!r}", [])]
    even = len(rows) / len(counts)
    rare = [f"{label} ({count})" for label, count in counts.items() if count < RARE_SHARE * even]
    if not rare:
        return []
    what = f"{len(rare)} of {len(counts)} labels are rare: {', '.join(sorted(rare)[:LINES_SHOWN])}"
    return [Finding(f"{what}; class_weights=balanced lifts them", [])]


def _other_languages(rows: Sequence[Row], encoder: ExampleEncoder) -> list[Finding]:
    """Rows whose text or answer is in another language than the slots, or the rest, say."""
    slots = [n for n, slot in encoder.task.slots.items() if slot.type == "language"]
    findings = []
    for side, slot in (("text", "source"), ("answer", "target")):
        if side == "answer" and slot not in slots:
            continue
        guesses = {
            i: languages.detect(getattr(row, side))
            for i, row in enumerate(rows)
            if len(getattr(row, side)) >= LEAST_LETTERS
        }
        common = Counter(guesses.values()).most_common(1)
        lines = []
        for i, guess in guesses.items():
            expected = rows[i].slots.get(slot) if slot in slots else common[0][0]
            if expected and guess != expected:
                lines.append(rows[i].line)
        if lines:
            findings.append(
                Finding(f"{len(lines)} rows: the {side} looks like another language", lines)
            )
    return findings


def require_rows(data_sets: Sequence[DataSet]) -> None:
    """Refuse data that training could make nothing of.

    Raises:
        InputError: a choose task has a single label, or hardly any row is left.
    """
    for data_set in data_sets:
        total = len(data_set.train) + sum(map(len, data_set.refused.values()))
        if len(data_set.train) < total / 2:
            worst = next(iter(next(rows for rows in data_set.refused.values() if rows)))
            raise InputError(
                f"More than half of the rows of {data_set.label} are refused; the first is {worst}"
            )
