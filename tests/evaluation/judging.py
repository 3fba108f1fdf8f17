"""Shared by the evaluation's tests: small files, plans of runs, and engines that break off."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from core.errors import InputError
from engine.fake import FakeEngine
from engine.interface import Choice, ChooseRequest
from evaluation.rows import EvaluationData
from evaluation.run_plan import RunPlan
from tasks.spec import load_tasks

TASKS = load_tasks()
REVIEWS = [
    ("a positive, warm little film", "positive"),
    ("negative through and through", "negative"),
    ("positive? hardly: a negative bore", "negative"),
    ("a positive delight, positive to the end", "positive"),
    ("the film runs for two hours", "negative"),
    ("no negative word about this one", "positive"),
]


def write_rows(file: Path, records: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    file.write_text("".join(lines), encoding="utf-8")
    return file


def reviews(folder: Path, times: int = 1) -> Path:
    records = [
        {"text": f"{text} {i}" if times > 1 else text, "label": label}
        for i in range(times)
        for text, label in REVIEWS
    ]
    return write_rows(folder / "reviews.jsonl", records)


def run_plan(task: str, file: Path, adapter: str | None = None, **options: Any) -> RunPlan:
    spec = TASKS[task]
    data = EvaluationData(file, options.pop("columns", {}), **options)
    return RunPlan(spec, data, data.rows(spec), adapter)


class Failing(FakeEngine):
    """Breaks off after some requests, and refuses texts with `unreadable` in them."""

    def __init__(self, after: int = 10**9, **options: Any) -> None:
        super().__init__(**options)
        self.after = after

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        if len(self.calls) >= self.after:
            raise KeyboardInterrupt
        if "unreadable" in request.messages[-1]["content"]:
            raise InputError("The text is unreadable.")
        return super().choose(request, stop)
