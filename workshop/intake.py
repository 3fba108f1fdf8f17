"""Annotated texts into the review queue: decisions about its own rows, and rows that are new."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.batch.assignment import SEPARATORS
from core.errors import InputError, UnknownName
from core.statement import Statement, statement
from tasks import languages
from tasks.label_names import coding, label_of, task_labels
from tasks.spec import SlotValue, TaskSpec
from tasks.values import problem_of
from workshop.annotated import AnnotatedText
from workshop.collect import RANDOM_SHARE, is_drawn
from workshop.review_row import ReviewRow
from workshop.rows import InEvaluationSet, NoConsent, ReviewStore

SHOWN = 3  # lines that a message names


@dataclass
class TakenIn:
    """What became of a file's texts.

    Attributes:
        added: rows that are new; `held_out` of them were drawn to be judged on.
        decided: rows of the queue, new ones included, that are decided as the file says.
        passed_over: why others are not, in words -> how many.
    """

    added: int = 0
    held_out: int = 0
    decided: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)

    def left_out(self) -> list[list[Statement]]:
        """How many of the texts are no rows, for each reason."""
        return [
            [statement("file.passed", "{count} texts: {passed}.", count=f"{count:,}", passed=why)]
            for why, count in self.passed_over.items()
        ]


def take_in(
    store: ReviewStore,
    texts: Sequence[AnnotatedText],
    task: TaskSpec,
    *,
    slots: Mapping[str, SlotValue] | None = None,
    consent: bool = False,
    reviewer: str = "",
    share: float = RANDOM_SHARE,
) -> TakenIn:
    """Decide the rows that were exported and are known by their id; add the others.

    Args:
        slots: of the texts that name none.
        consent: whoever the new texts are from agrees that they are used for training.
        reviewer: has looked at every answer in the file: new rows that have one are accepted.
        share: of the new rows, held out; drawn by the text, so always the same ones.

    Raises:
        InputError: answers are no labels, or a slot that is needed has no value; nothing is taken.
        ReviewError: the store cannot be written.
    """
    taken, new, decisions = TakenIn(), dict[str, ReviewRow](), list[AnnotatedText]()
    named = [_named(text, task, slots or {}) for text in texts]
    _require_labels(named, task)
    known = store.known(text.id for text in named if text.id)
    for text in named:
        if text.id in known:
            decisions.append(text)
        elif problem := problem_of(text.text):
            why = problem[0].english
            taken.passed_over[f"the text {'is empty' if why == 'empty' else why}"] += 1
        else:
            row = _new(text, task, consent, share)
            if row.id in new:
                taken.passed_over["it stands in the file before"] += 1
            new[row.id] = row
            if reviewer and row.suggested:
                by = text.by or reviewer
                decisions.append(replace(text, id=row.id, right=row.suggested, by=by))
        taken.passed_over["the annotators do not agree"] += text.disagreed
    known = store.known(new)
    taken.added = store.add(new.values())
    taken.held_out = sum(row.held_out for id, row in new.items() if id not in known)
    if again := len(new) - taken.added:
        taken.passed_over["it is in the queue already"] += again
    for text in decisions:
        _decide(store, text, taken)
    taken.passed_over = +taken.passed_over
    return taken


def slots_of(task: TaskSpec, given: Mapping[str, str]) -> dict[str, SlotValue]:
    """Slot values as a person writes them: a label list by comma, a language by name or code.

    Raises:
        UnknownName: the task has no such slot.
        InputError: a value is none of its slot.
    """
    values: dict[str, SlotValue] = {}
    for name, said in given.items():
        if name not in task.slots:
            raise UnknownName(f"slot of {task.name}", name, task.slots)
        kind = task.slots[name].type
        if kind == "labels":
            values[name] = [one for one in SEPARATORS.split(said) if one]
        elif kind == "language":
            values[name] = languages.parse(said) or said
        else:
            values[name] = said
    if (own := task.own_labels(values)) and len(set(own)) < 2:
        raise InputError(f"{task.name} needs two different labels or more, not {own}.")
    _require_fitting(task, values)
    return values


def own_labels(texts: Sequence[AnnotatedText], task: TaskSpec) -> dict[str, SlotValue]:
    """The answers of a file as the label list that its texts are sorted by.

    Raises:
        InputError: the task has no such list, or the file fewer than two answers.
    """
    labels = sorted({text.right or text.suggested for text in texts} - {""})
    if task.labels_slot is None:
        raise InputError(f"{task.name} takes no label list of your own.")
    if len(labels) < 2:
        raise InputError(f"A list of labels needs two at least; the file has {labels}.")
    return {task.labels_slot: labels}


def _require_fitting(task: TaskSpec, values: Mapping[str, SlotValue]) -> None:
    """See that each value is one of its slot. Raises InputError."""
    unsaid = {name: "en" for name, slot in task.slots.items() if slot.type == "language"}
    task.fills({**unsaid, **values})


def _named(text: AnnotatedText, task: TaskSpec, slots: Mapping[str, SlotValue]) -> AnnotatedText:
    """The text with its slots, and answers as the task, or the list of its own, names them."""
    values = {**slots, **{name: value for name, value in text.slots.items() if value}}
    for name, value in values.items():
        if name in task.slots and task.slots[name].type == "language" and isinstance(value, str):
            values[name] = languages.parse(value) or value
    target = task.target_slot
    if target and not values.get(target) and not text.id:
        raise InputError(
            f"Line {text.line} does not say the language that it is wanted in. Name it in a "
            f"column, or for all rows: --slot {target}=French."
        )
    _require_fitting(task, values)
    own = task.own_labels(values)
    names = {label: label for label in own} if own else task_labels(task)

    def label(answer: str) -> str:
        return (label_of(answer, names) or answer) if task.kind == "choose" else answer

    return replace(
        text, slots=values, suggested=label(text.suggested.strip()), right=label(text.right.strip())
    )


def _require_labels(texts: Sequence[AnnotatedText], task: TaskSpec) -> None:
    if task.kind != "choose":
        return
    wrong = {
        text.line: answer
        for text in texts
        for answer in (text.right or text.suggested,)
        if answer and answer not in (task.own_labels(text.slots) or task.labels) and not text.id
    }
    if wrong:
        shown = ", ".join(f"{wrong[line]!r} (line {line})" for line in list(wrong)[:SHOWN])
        meant = coding(task, set(wrong.values())) or {}
        mapping = " ".join(
            f"--answer '{answer}={meant.get(answer, '...')}'"
            for answer in sorted(set(wrong.values()))[:SHOWN]
        )
        own = (
            f", or name a list of your own: --slot {name}=a,b" if (name := task.labels_slot) else ""
        )
        raise InputError(
            f"{len(wrong)} rows have a label that is not offered: {shown}. "
            f"Offered: {', '.join(task.labels)}. Say what they mean, like {mapping}{own}."
        )


def _new(text: AnnotatedText, task: TaskSpec, consent: bool, share: float) -> ReviewRow:
    """A row whose id is made of what it says: the same text is the same row in any file."""
    says = json.dumps([task.name, text.text, text.slots], sort_keys=True, ensure_ascii=False)
    id = f"text:{hashlib.sha256(says.encode()).hexdigest()[:20]}"
    held_out = is_drawn(id, share)
    return ReviewRow(
        id=id,
        task=task.name,
        text=text.text,
        slots=text.slots,
        why="random" if held_out else "imported",
        suggested=text.right or text.suggested,
        rater=text.by,
        consent=consent,
        held_out=held_out,
    )


def _decide(store: ReviewStore, text: AnnotatedText, taken: TakenIn) -> None:
    row = store.get(text.id)
    if text.declined and row.status != "declined":
        store.decline(text.id, text.by or "imported")
        taken.decided += 1
    elif text.right and (row.status, row.right) != ("done", text.right):
        try:
            store.decide(text.id, text.right, text.by or "imported")
        except (NoConsent, InEvaluationSet) as error:
            why = (
                "nobody has agreed to its use"
                if isinstance(error, NoConsent)
                else "it is judged on"
            )
            taken.passed_over[why] += 1
        else:
            taken.decided += 1
