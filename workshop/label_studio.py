"""Label Studio's JSON, its tasks with predictions and annotations, both ways.

As `label_studio_sdk` 2.1 has it: a choice is a result of the type `choices`, a text of `textarea`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from tasks.records import Record
from tasks.spec import TaskSpec
from workshop.annotated import AnnotatedText, Said, agreed
from workshop.review_row import ReviewRow

ANSWER, TEXT, ID = "answer", "text", "patchbay_id"
ABOUT = ("answer", "why", "adapter")  # of a row, shown beside its text


def is_task(record: Record) -> bool:
    """Whether a record is one of its tasks."""
    return isinstance(record.get("data"), dict)


def tasks_of(rows: Sequence[ReviewRow], task: TaskSpec) -> list[Record]:
    """Rows as tasks to import there, prefilled with what is suggested."""
    return [_task(row, task) for row in rows]


def labeling_config(task: TaskSpec) -> str:
    """The labelling interface that the tasks need: its labels come with each of them."""
    control = (
        f'<Choices name="{ANSWER}" toName="{TEXT}" value="$labels" choice="single"/>'
        if task.kind == "choose"
        else f'<TextArea name="{ANSWER}" toName="{TEXT}" maxSubmissions="1" editable="true"/>'
    )
    header = f"<Header value={quoteattr(task.title.en)}/>"
    return f'<View>{header}<Text name="{TEXT}" value="$text"/>{control}</View>'


def annotated(records: Sequence[tuple[int, Record]], text: str = TEXT) -> list[AnnotatedText]:
    """Its tasks, with lines, as texts.

    Args:
        text: the key of a task's data that holds the text.
    """
    return [_annotated(line, record, text) for line, record in records]


def is_flat(record: Record) -> bool:
    """Whether a record is one of our tasks, as its exports to CSV and JSON-MIN have it."""
    return ID in record


def flat(records: Sequence[tuple[int, Record]]) -> list[AnnotatedText]:
    """Such records, with lines, as texts; of a task that several annotated there are several."""
    said: dict[str, list[Said]] = {}
    first: dict[str, tuple[int, Record]] = {}
    for line, record in records:
        id = str(record.get(ID) or "")
        first.setdefault(id, (line, record))
        if answer := str(record.get(ANSWER) or "").strip():
            by = _who(record.get("annotator"), record)
            said.setdefault(id, []).append((answer, by))
    texts = []
    for id, (line, record) in first.items():
        right, by, disagreed = agreed(said.get(id, []))
        texts.append(
            AnnotatedText(
                str(record.get(TEXT) or ""),
                id,
                suggested=right if disagreed else "",
                right="" if disagreed else right,
                by=by,
                disagreed=disagreed,
                line=line,
            )
        )
    return texts


def _task(row: ReviewRow, task: TaskSpec) -> Record:
    data: Record = {"text": row.text, ID: row.id, **row.slots}
    data |= {f"model_{name}": getattr(row, name) for name in ABOUT if getattr(row, name)}
    if choices := row.choices(task):
        data["labels"] = [{"value": label} for label in choices]
    made: Record = {"data": data}
    if row.suggested:
        score = row.labels.get(row.suggested)
        prediction: Record = {"model_version": row.adapter or "base"}
        prediction |= {} if score is None else {"score": score}
        made["predictions"] = [prediction | {"result": _result(row.suggested, task)}]
    if row.status != "pending":
        cancelled = row.status == "declined"
        result = [] if cancelled else _result(row.right, task)
        made["annotations"] = [{"was_cancelled": cancelled, "result": result}]
        data["reviewed_by"] = row.by
    return made


def _result(answer: str, task: TaskSpec) -> list[Record]:
    kind, key, value = (
        ("choices", "choices", [answer])
        if task.kind == "choose"
        else ("textarea", "text", [answer])
    )
    return [{"from_name": ANSWER, "to_name": TEXT, "type": kind, "value": {key: value}}]


def _annotated(line: int, record: Record, text: str) -> AnnotatedText:
    data: Mapping[str, Any] = record["data"]
    given = record.get("annotations") or record.get("completions") or []
    kept = [one for one in given if not (one.get("was_cancelled") or one.get("skipped"))]
    said: list[Said] = [
        (answer, _who(one.get("completed_by"), data)) for one in kept if (answer := _answer(one))
    ]
    right, by, disagreed = agreed(said)
    predicted = next(filter(None, map(_answer, record.get("predictions") or [])), "")
    return AnnotatedText(
        text=str(data.get(text) or ""),
        id=str(data.get(ID) or ""),
        suggested=right if disagreed else predicted,
        right="" if disagreed else right,
        by=by,
        declined=bool(given) and not kept,
        disagreed=disagreed,
        line=line,
    )


def _answer(annotation: Mapping[str, Any]) -> str:
    """The one choice, or the text, of an annotation or a prediction; empty where there is none."""
    for result in annotation.get("result") or []:
        value = result.get("value") or {}
        found = value.get("choices") or value.get("text") or []
        found = [found] if isinstance(found, str) else found
        if result.get("type") in {"choices", "textarea"} and len(found) == 1:
            return str(found[0]).strip()
    return ""


def _who(said: Any, data: Mapping[str, Any]) -> str:
    """Whoever annotated: an e-mail address or a number; of our own rows, who reviewed them here."""
    if isinstance(said, dict):
        said = said.get("email") or said.get("id")
    return f"label-studio {said}" if said else str(data.get("reviewed_by") or "label-studio")
