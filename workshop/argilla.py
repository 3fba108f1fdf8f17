"""Argilla's JSON, records with suggestions and responses, both ways.

As `Dataset.records.to_json` and `Record.from_dict` of argilla 2.8 have it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.records import Record
from tasks.spec import TaskSpec
from workshop.annotated import AnnotatedText, Said, agreed
from workshop.review_row import ReviewRow

ANSWER, TEXT, ID = "answer", "text", "patchbay_id"


def is_record(record: Record) -> bool:
    """Whether a record is one of its."""
    return isinstance(record.get("fields"), dict)


def records_of(rows: Sequence[ReviewRow], task: TaskSpec) -> list[Record]:
    """Rows as records with one field `text` and one question `answer`, prefilled as suggested."""
    return [_record(row, task) for row in rows]


def annotated(records: Sequence[tuple[int, Record]], text: str = TEXT) -> list[AnnotatedText]:
    """Its records, with lines, as texts.

    Args:
        text: the field that holds the text.
    """
    return [_annotated(line, record, text) for line, record in records]


def _record(row: ReviewRow, task: TaskSpec) -> Record:
    suggestion = {
        "value": row.suggested,
        "score": row.labels.get(row.suggested),
        "agent": row.adapter or "base",
    }
    response = {"value": row.right, "user_id": _user(row.by)}
    about = {"task": task.name, "why": row.why, "model_answer": row.answer, "reviewed_by": row.by}
    slots = {name: value for name, value in row.slots.items() if isinstance(value, str)}
    return {
        "id": row.id,
        "status": "completed" if row.status == "done" else "pending",
        "fields": {TEXT: row.text},
        "metadata": {ID: row.id, **slots, **{name: said for name, said in about.items() if said}},
        "suggestions": {ANSWER: suggestion} if row.suggested else {},
        "responses": {ANSWER: [response]} if row.status == "done" else {},
        "vectors": {},
    }


def _annotated(line: int, record: Record, text: str) -> AnnotatedText:
    meta: Mapping[str, Any] = record.get("metadata") or {}
    question, responses = _only(record.get("responses") or {})
    _, suggestion = _only(record.get("suggestions") or {}, question)
    said: list[Said] = [
        (_text(one.get("value")), _who(one.get("user_id"), meta))
        for one in responses or []
        if _text(one.get("value")) and one.get("status") not in {"draft", "discarded"}
    ]
    right, by, disagreed = agreed(said)
    return AnnotatedText(
        text=str(record["fields"].get(text) or ""),
        id=str(meta.get(ID) or ""),
        suggested=right if disagreed else _text((suggestion or {}).get("value")),
        right="" if disagreed else right,
        by=by,
        declined=record.get("status") == "discarded",
        disagreed=disagreed,
        line=line,
    )


def _only(questions: Mapping[str, Any], name: str = ANSWER) -> tuple[str, Any]:
    """The question that is ours, or else the first."""
    name = name if name in questions else next(iter(questions), name)
    return name, questions.get(name)


def _text(value: Any) -> str:
    """A value of a question for one label or a text; nothing of other questions."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value.strip() if isinstance(value, str) else ""


def _user(name: str) -> str:
    """Its users have UUIDs: one by the name, always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"patchbay:{name}"))


def _who(user: Any, meta: Mapping[str, Any]) -> str:
    reviewer = str(meta.get("reviewed_by") or "")
    if reviewer and user == _user(reviewer):
        return reviewer
    return f"argilla {user}" if user else "argilla"
