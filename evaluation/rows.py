"""What is to be judged: the rows of a file, checked before any compute is spent."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from agent.planning import slots
from core import fingerprint
from core.errors import InputError
from tasks import languages
from tasks.data_files import FileForm
from tasks.label_names import coding, label_of, task_labels
from tasks.row_languages import guessed, language_slots
from tasks.rows import Layout, Row, Table, exchanged, layout_of, read
from tasks.spec import TaskSpec

REFUSED_SHOWN = 3  # lines named in a message; the count says how many there are
DRAWN = "drawn"  # the value of --labels that draws a list for each row from the file's own labels
OWN_LISTS = "row"  # the value of --labels that takes each row's own list, of the column `labels`
LONGEST_LIST = 10  # labels in a drawn list, the right one included


@dataclass(frozen=True)
class EvaluationRow:
    """A row with everything its prompt needs.

    Attributes:
        line: where it stands in the file.
        labels: the label list that the prompt shows, the person's own or drawn; empty where the
            task's own list is meant.
    """

    line: int
    text: str
    reference: str
    slots: dict[str, str]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationData:
    """Which rows of which file, and how they are put.

    Attributes:
        columns: file column -> role, where the task's own names do not fit.
        labels: the person's own label list, or `drawn`, or `row`, or empty for the task's own.
        limit: rows to draw at random by the seed; all when None.
        reverse: judge the other direction of a translation.
        fills: slot -> value, where no column gives it.
        answers: answer in the file -> the one that is meant.
        form: encoding, separator and sheet of the file, where they cannot be told.
        trained: language slot -> the codes that the judged adapter was trained for.
    """

    file: Path
    columns: dict[str, str]
    labels: str = ""
    limit: int | None = None
    reverse: bool = False
    seed: int = 0
    fills: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    form: FileForm = field(default_factory=FileForm)
    trained: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def sha256(self) -> str:
        """The file's hash."""
        return fingerprint.sha256_file(self.file)

    def rows(
        self, task: TaskSpec, say: Callable[[str], None] = lambda line: None
    ) -> list[EvaluationRow]:
        """The rows, in the order of the file.

        Args:
            task: what they are judged for.
            say: told how the file was read, where that is not plain.

        Raises:
            InputError: there are none, or one of them cannot be judged; nothing is left out.
        """
        known = layout_of(self.columns, task).model_copy(
            update={"fills": self.fills, "answers": self.answers, **asdict(self.form)}
        )
        table = read(self.file, known, task)
        for note in table.notes:
            say(note.english)
        rows = self._with_languages(task, _drawn_rows(table, self), say)
        if self.reverse:
            if task.target_slot is None:
                raise InputError(f"--reverse is for translation; {task.name} has one direction.")
            rows = [exchanged(row, task) for row in rows]
        references = self._references(task, rows)
        all_labels = sorted(set(references))
        evaluated = []
        for row, reference in zip(rows, references, strict=True):
            labels = self._label_list(row, all_labels)
            complete = EvaluationRow(row.line, row.text, reference, self._slots(task, row), labels)
            _require_prompt(task, complete)
            evaluated.append(complete)
        return evaluated

    def plain_texts(self) -> list[EvaluationRow]:
        """The rows as plain text, the column `text`, without a task. Raises as `rows`."""
        table = read(self.file, Layout(columns={"text": "text"}, answer=""))
        return [EvaluationRow(row.line, row.text, "", {}) for row in _drawn_rows(table, self)]

    def _references(self, task: TaskSpec, rows: Sequence[Row]) -> list[str]:
        """The right answers; labels as the task names them.

        Raises:
            InputError: a label is not in the list that the model chooses from.
        """
        if self.labels and task.kind != "choose":
            raise InputError(f"--labels is for tasks that choose; {task.name} writes.")
        if self.labels == OWN_LISTS:
            self._require_lists(rows)
        if task.kind != "choose" or self.labels in {DRAWN, OWN_LISTS}:
            return [row.answer for row in rows]
        own = {label: label for label in self._own_labels()} if self.labels else {}
        names = own or task_labels(task)
        meant = {answer: label_of(answer, names) for answer in {row.answer for row in rows}}
        unknown = [row for row in rows if meant[row.answer] is None]
        if unknown:
            shown = ", ".join(
                f"{row.answer!r} (line {row.line})" for row in unknown[:REFUSED_SHOWN]
            )
            raise InputError(
                f"{self.file.name}: {len(unknown)} rows have a label that is not offered: {shown}. "
                f"Offered: {', '.join(dict.fromkeys(names.values()))}. Say what they mean, like "
                f"{_mapping(task, [row.answer for row in unknown])}, or name a list of your own "
                f'with --labels "a, b", or --labels {DRAWN}.'
            )
        return [str(meant[row.answer]) for row in rows]

    def _with_languages(
        self, task: TaskSpec, rows: list[Row], say: Callable[[str], None]
    ) -> list[Row]:
        """The rows with languages: their own, or those that the judged adapter knows.

        Raises:
            InputError: neither says them.
        """
        missing = [
            slot for slot in language_slots(task) if not all(row.slots.get(slot) for row in rows)
        ]
        if not missing:
            return rows
        guesses, found = guessed(task, rows), {}
        for slot in missing:
            known = self.trained.get(slot, ())
            found[slot] = known[0] if len(known) == 1 else guesses[slot]
            if found[slot] not in known:
                fills = " ".join(f"--fill {one}={guesses[one]}" for one in sorted(missing))
                raise InputError(
                    f"{self.file.name} does not say the {slot} language of its rows, and no "
                    f"adapter decides it. Name it in a column, or for all rows, like {fills}."
                )
        named = ", ".join(f"{slot} {code}" for slot, code in sorted(found.items()))
        say(f"{self.file.name} names no languages. Of those of the adapter they are {named}.")
        return [replace(row, slots={**found, **_given(row.slots)}) for row in rows]

    def _require_lists(self, rows: Sequence[Row]) -> None:
        """See that each row has a label list with its own answer in it."""
        for row in rows:
            if row.answer not in row.labels:
                listed = ", ".join(row.labels) or "none"
                raise InputError(
                    f"{self.file.name}, line {row.line}: the label {row.answer!r} is not in the "
                    f"row's list ({listed}). Name the column that holds the lists, like "
                    "--column labels=labels, or mend the row."
                )

    def _own_labels(self) -> tuple[str, ...]:
        own = tuple(dict.fromkeys(filter(None, map(str.strip, self.labels.split(",")))))
        if len(own) < 2:
            raise InputError(f"--labels needs at least two, by comma, not {self.labels!r}.")
        return own

    def _label_list(self, row: Row, all_labels: Sequence[str]) -> tuple[str, ...]:
        """The label list of the prompt, when it is not the task's own."""
        if self.labels == OWN_LISTS:
            return row.labels
        if self.labels != DRAWN:
            return self._own_labels() if self.labels else ()
        if len(all_labels) < 2:
            raise InputError(f"{self.file.name} has one label only, {all_labels[0]!r}.")
        rng = random.Random(f"{self.seed}-{row.line}")
        others = [label for label in all_labels if label != row.answer]
        drawn = rng.sample(others, min(LONGEST_LIST - 1, len(others)))
        return tuple(rng.sample([row.answer, *drawn], len(drawn) + 1))

    def _slots(self, task: TaskSpec, row: Row) -> dict[str, str]:
        """The row's own values; what it lacks is filled as the planner would."""
        language = languages.detect(row.text)
        filled = slots.fill(task, "", language, language)
        plain = {name: value for name, value in filled.items() if isinstance(value, str)}
        return {**plain, **_given(row.slots)}


def _given(slots: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in slots.items() if value}


def _mapping(task: TaskSpec, unknown: Sequence[str]) -> str:
    """Options that say what unknown labels mean, as far as that is obvious."""
    meant = coding(task, unknown) or {}
    shown = dict.fromkeys(unknown[:REFUSED_SHOWN] if not meant else sorted(meant))
    return shlex.join(
        word for label in shown for word in ("--answer", f"{label}={meant.get(label, '...')}")
    )


def _drawn_rows(table: Table, data: EvaluationData) -> list[Row]:
    """The rows of a file that are to be judged.

    Raises:
        InputError: there are none, or one of the file's cannot be judged.
    """
    name, limit = data.file.name, data.limit
    if table.refused:
        raise InputError(
            f"{name}: {len(table.refused)} rows cannot be judged. "
            + " ".join(map(str, table.refused[:REFUSED_SHOWN]))
        )
    if not table.rows:
        raise InputError(f"{name} holds no rows.")
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, not {limit}.")
    if limit is None or limit >= len(table.rows):
        return table.rows
    drawn = random.Random(data.seed).sample(table.rows, limit)
    return sorted(drawn, key=lambda row: row.line)


def _require_prompt(task: TaskSpec, row: EvaluationRow) -> None:
    """See that the prompt can be made.

    Raises:
        InputError: a slot value is wrong; names the line.
    """
    try:
        task.messages(row.text, task.fills(row.slots, row.labels))
    except InputError as error:
        raise InputError(f"line {row.line}: {error}") from error
