"""What training would see: rows refused, repeated, shared, unbalanced, foreign; time and memory."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import regex

from core import paths
from core.errors import InputError
from finetune.data import Part
from finetune.examples import Encoder
from tasks import languages
from tasks.rows import Refusal, Row

BINS = (16, 32, 64, 128, 256, 512, 1024)
SHOWN = 5  # lines named for each finding; the count says how many there are
LEAST_LETTERS = 40  # shorter texts are not judged by language: the guess is too uncertain
RARE = 0.2  # a label with less than this share of an even split is called rare


@dataclass(frozen=True)
class Finding:
    """Something a person should know about the data, with the lines it is about."""

    what: str
    lines: list[int]

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.lines[:SHOWN]))
        more = ", …" if len(self.lines) > SHOWN else ""
        return f"{self.what} (lines {shown}{more})" if self.lines else self.what


def findings(part: Part, encoder: Encoder) -> list[Finding]:
    """Everything noteworthy about one data set's rows, worst first."""
    found = [*_repeats(part.train), *_shared(part.train, part.validation)]
    if encoder.task.kind == "choose":
        found += _balance(part.train)
    found += _foreign(part.train, encoder)
    return found


def histogram(lengths: Iterable[int]) -> dict[str, int]:
    """Counts by length: `≤16`, `≤32`, and so on."""
    counts = dict.fromkeys([*(f"≤{edge}" for edge in BINS), f">{BINS[-1]}"], 0)
    for length in lengths:
        edge = next((edge for edge in BINS if length <= edge), None)
        counts[f"≤{edge}" if edge else f">{BINS[-1]}"] += 1
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


def _key(text: str) -> str:
    """The text without case, spacing and punctuation: what makes two rows the same."""
    return str(regex.sub(r"[\W_]+", "", text.casefold()))


def _repeats(rows: Sequence[Row]) -> list[Finding]:
    by_text: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_text[_key(row.text) + str(sorted(row.slots.items()))].append(row)
    groups = [group for group in by_text.values() if len(group) > 1]
    clashing = [g for g in groups if len({row.answer for row in g}) > 1]
    same = [g for g in groups if len({row.answer for row in g}) == 1]
    found = []
    if clashing:
        lines = [row.line for group in clashing for row in group]
        found.append(Finding(f"{len(clashing)} texts have several different answers", lines))
    if same:
        lines = [row.line for group in same for row in group[1:]]
        found.append(Finding(f"{len(lines)} rows repeat an earlier one", lines))
    return found


def _shared(train: Sequence[Row], validation: Sequence[Row]) -> list[Finding]:
    held = {_key(row.text) for row in validation}
    lines = [row.line for row in train if _key(row.text) in held]
    what = f"{len(lines)} training rows are in the validation data too: its figures would flatter"
    return [Finding(what, lines)] if lines else []


def _balance(rows: Sequence[Row]) -> list[Finding]:
    counts = Counter(row.answer for row in rows)
    if len(counts) == 1:
        return [Finding(f"every row has the label {rows[0].answer!r}", [])]
    even = len(rows) / len(counts)
    rare = [f"{label} ({count})" for label, count in counts.items() if count < RARE * even]
    if not rare:
        return []
    what = f"{len(rare)} of {len(counts)} labels are rare: {', '.join(sorted(rare)[:SHOWN])}"
    return [Finding(f"{what}; class_weights=balanced lifts them", [])]


def _foreign(rows: Sequence[Row], encoder: Encoder) -> list[Finding]:
    """Rows whose text or answer is in another language than the slots, or the rest, say."""
    task = encoder.task
    found = []
    for side, slot in (("text", task.source_slot), ("answer", task.target_slot)):
        if side == "answer" and slot is None:
            continue
        guesses = {
            i: languages.detect(getattr(row, side))
            for i, row in enumerate(rows)
            if len(getattr(row, side)) >= LEAST_LETTERS
        }
        common = Counter(guesses.values()).most_common(1)
        lines = []
        for i, guess in guesses.items():
            expected = rows[i].slots.get(slot) if slot else common[0][0]
            if expected and guess != expected:
                lines.append(rows[i].line)
        if lines:
            found.append(
                Finding(f"{len(lines)} rows: the {side} looks like another language", lines)
            )
    return found


def require_rows(parts: Sequence[Part]) -> None:
    """Refuse data that training could make nothing of.

    Raises:
        InputError: a choose task has a single label, or hardly any row is left.
    """
    for part in parts:
        total = len(part.train) + sum(map(len, part.refused.values()))
        if len(part.train) < total / 2:
            worst = next(iter(next(rows for rows in part.refused.values() if rows)))
            raise InputError(
                f"More than half of the rows of {part.label} are refused; the first is {worst}"
            )
