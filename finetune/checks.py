"""What training would see: rows refused, repeated, shared, unbalanced, foreign; time and memory."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core import paths
from core.errors import InputError
from core.statement import Statement, in_english, statement
from finetune.data import DataSet
from finetune.examples import ExampleEncoder
from finetune.recipe import Recipe
from tasks import languages
from tasks.label_names import look_alikes
from tasks.records import Refusal
from tasks.rows import Row, duplicate_key
from tasks.spec import TaskSpec

LENGTH_EDGES = (16, 32, 64, 128, 256, 512, 1024)
LINES_SHOWN = 5  # lines named for each finding; the count says how many there are
FEW_ROWS = 20  # so many or less are called few
JUDGED_ROWS = 20_000  # rows whose language is looked at
LEAST_LETTERS = 40  # shorter texts are not judged by language: the guess is too uncertain
# The first byte of a letter in UTF-8 and a byte behind it, as Windows-1252 shows them.
GARBLED = re.compile(r"Ã[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€[\x80-\xbf™œ“”˜¦¢]")
RARE_SHARE = 0.2  # a label with less than this share of an even split is called rare


@dataclass(frozen=True)
class Finding:
    """Something a person should know about the data, with the lines it is about."""

    what: Statement
    lines: list[int]

    @property
    def said(self) -> list[Statement]:
        """It, and the first of the lines."""
        if not self.lines:
            return [self.what]
        shown = ", ".join(map(str, self.lines[:LINES_SHOWN]))
        more = ", …" if len(self.lines) > LINES_SHOWN else ""
        return [self.what, statement("check.lines", "(lines {lines})", lines=shown + more)]

    def __str__(self) -> str:
        return in_english(self.said)


def check_rows(data_set: DataSet, encoder: ExampleEncoder) -> list[Finding]:
    """Everything noteworthy about one data set's rows, worst first."""
    findings = [*_few(data_set.train), *_garbled(data_set.train), *_repeated(data_set.train)]
    findings += _leaked(data_set.train, data_set.validation)
    if encoder.task.kind == "choose":
        findings += [*_alike(data_set), *_imbalance(data_set.train), *_unlearnt(data_set)]
    findings += _other_languages(data_set.train, encoder)
    return findings


def look_over(data_sets: Sequence[DataSet], encoder: ExampleEncoder) -> None:
    """Note what is noteworthy about each data set beside how it was read."""
    for data_set in data_sets:
        data_set.findings = [one.said for one in check_rows(data_set, encoder)]


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
        lines = [json.dumps(row.to_json(), ensure_ascii=False) for row in rows]
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
        what = statement(
            "check.clashing", "{count} texts have several different answers", count=len(clashing)
        )
        findings.append(Finding(what, lines))
    if same:
        lines = [row.line for group in same for row in group[1:]]
        what = statement("check.repeated", "{count} rows repeat an earlier one", count=len(lines))
        findings.append(Finding(what, lines))
    return findings


def _leaked(train: Sequence[Row], validation: Sequence[Row]) -> list[Finding]:
    validation_keys = {duplicate_key(row.text) for row in validation}
    lines = [row.line for row in train if duplicate_key(row.text) in validation_keys]
    what = statement(
        "check.leaked",
        "{count} training rows are in the validation data too: its figures would flatter",
        count=len(lines),
    )
    return [Finding(what, lines)] if lines else []


def _few(rows: Sequence[Row]) -> list[Finding]:
    if not 0 < len(rows) <= FEW_ROWS:
        return []
    what = statement(
        "check.few", "only {count} rows to learn from; a few hundred are usual", count=len(rows)
    )
    return [Finding(what, [])]


def _garbled(rows: Sequence[Row]) -> list[Finding]:
    """Rows in UTF-8 that was once read as Windows' Western encoding and saved so: cafÃ©."""
    lines = [row.line for row in rows if GARBLED.search(row.text) or GARBLED.search(row.answer)]
    what = statement(
        "check.garbled",
        "{count} rows hold letters that were once read in a wrong encoding, like Ã© for é",
        count=len(lines),
    )
    return [Finding(what, lines)] if lines else []


def _alike(data_set: DataSet) -> list[Finding]:
    """Labels of the person's own that look the same and are counted as different ones."""
    counts = Counter(row.answer for row in [*data_set.train, *data_set.validation])
    findings = []
    for group in look_alikes(counts):
        named = ", ".join(f"{label!r} ({counts[label]:,})" for label in group)
        most = max(group, key=lambda label: counts[label])
        mapping = ", ".join(f'"{label}": "{most}"' for label in group if label != most)
        what = statement(
            "check.alike",
            "labels look alike, and count as different: {labels}; if they are one, say `{option}`",
            labels=named,
            option=f"answers: {{{mapping}}}",
        )
        findings.append(Finding(what, []))
    return findings


def _unlearnt(data_set: DataSet) -> list[Finding]:
    learnt = {row.answer for row in data_set.train}
    rows = [row for row in data_set.validation if row.answer not in learnt]
    names = ", ".join(sorted({repr(row.answer) for row in rows})[:LINES_SHOWN])
    what = statement(
        "check.unlearnt",
        "validation rows have labels that no training row has: {labels}",
        labels=names,
    )
    return [Finding(what, [row.line for row in rows])] if rows else []


def _imbalance(rows: Sequence[Row]) -> list[Finding]:
    counts = Counter(row.answer for row in rows)
    if len(counts) < 2:
        return [_one_label(rows[0].answer)] if rows else []
    single = [row for row in rows if counts[row.answer] == 1]
    findings = []
    if single:
        names = ", ".join(sorted(repr(row.answer) for row in single)[:LINES_SHOWN])
        what = statement(
            "check.single", "{count} labels have a single row: {labels}", count=len(single),
            labels=names,
        )  # fmt: skip
        findings.append(Finding(what, [row.line for row in single]))
    even = len(rows) / len(counts)
    rare = [f"{label} ({count})" for label, count in counts.items() if count < RARE_SHARE * even]
    if not rare:
        return findings
    what = statement(
        "check.rare",
        "{count} of {all} labels are rare: {labels}; class_weights=balanced lifts them",
        count=len(rare),
        all=len(counts),
        labels=", ".join(sorted(rare)[:LINES_SHOWN]),
    )
    return [*findings, Finding(what, [])]


def _one_label(label: str) -> Finding:
    return Finding(
        statement("check.one_label", "every row has the label {label}", label=repr(label)), []
    )


def _other_languages(rows: Sequence[Row], encoder: ExampleEncoder) -> list[Finding]:
    """Rows whose text or answer is in another language than the slots, or the rest, say."""
    task = encoder.task
    findings = []
    for side, slot in (("text", task.source_slot), ("answer", task.target_slot)):
        if side == "answer" and slot is None:
            continue
        guesses = {
            i: languages.detect(getattr(row, side))
            for i, row in enumerate(rows[:JUDGED_ROWS])
            if len(getattr(row, side)) >= LEAST_LETTERS
        }
        common = Counter(guesses.values()).most_common(1)
        lines = []
        for i, guess in guesses.items():
            expected = rows[i].slots.get(slot) if slot else common[0][0]
            if expected and guess != expected:
                lines.append(rows[i].line)
        if lines:
            what = statement(
                "check.language",
                "{count} rows: the {side} looks like another language",
                count=len(lines),
                side=side,
            )
            findings.append(Finding(what, lines))
    return findings


def require_rows(recipe: Recipe, task: TaskSpec, data_sets: Sequence[DataSet]) -> None:
    """Refuse data that training could make nothing of, or that is not what the person thinks.

    Raises:
        InputError: too many rows are refused, none is left, or all have one label.
    """
    for data_set in data_sets:
        refused = sum(map(len, data_set.refused.values()))
        if refused > recipe.max_refused * data_set.read:
            worst = next(rows[0] for rows in data_set.refused.values() if rows)
            rest = (
                f" To train on the rest, say max_refused={_rounded_up(refused / data_set.read):g}."
            )
            raise InputError(
                f"{data_set.label}: {refused:,} of {data_set.read:,} rows are refused, more than "
                f"the share max_refused={recipe.max_refused:g}. The first is {worst}"
                + (rest if data_set.train else "")
            )
        if not data_set.train or not data_set.validation:
            raise InputError(
                f"{data_set.label}: of {data_set.read:,} rows {len(data_set.train):,} are left to "
                f"train and {len(data_set.validation):,} to validate on. It takes one of each at "
                "least, and a few hundred to learn something."
            )
    labels = {row.answer for data_set in data_sets for row in data_set.train}
    if task.kind == "choose" and len(labels) == 1:
        raise InputError(
            f"Every row has the label {labels.pop()!r}: there is nothing to tell apart. Add rows "
            "of other labels, or map the column that holds them with `columns`."
        )


def _rounded_up(share: float) -> float:
    return math.ceil(100 * share) / 100
