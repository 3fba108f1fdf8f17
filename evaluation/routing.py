"""How often the planner's plan is exactly right on labelled requests, and how sure it is."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agent.planning.planner import Planner
from core import fingerprint
from core.errors import InputError, PatchbayError, UnknownName
from evaluation import choice_metrics, figures
from evaluation.intervals import mean
from tasks.spec import Message

PlanLabel = list[tuple[str, str | None]]


@dataclass(frozen=True)
class LabelledRequest:
    """A labelled line: what was asked, and the tasks and target languages that are right.

    `kind` and `lang` are names to report by, empty where the line has none.
    """

    line: int
    text: str
    history: list[Message]
    plan: PlanLabel
    kind: str = ""
    lang: str = ""


@dataclass(frozen=True)
class PlannedRequest:
    """What the planner made of a request; `error` says why it made nothing.

    `asked` says that the person is asked before anything is done.
    """

    request: LabelledRequest
    plan: PlanLabel
    confidence: float = 0.0
    asked: bool = False
    milliseconds: float = 0.0
    error: str | None = None

    @property
    def right(self) -> bool:
        """Whether tasks, their order and target languages are all as labelled."""
        return self.plan == self.request.plan


def read(file: Path, tasks: Collection[str]) -> list[LabelledRequest]:
    """Labelled requests, one JSON object a line.

    Raises:
        InputError: the file cannot be read, holds none, or a line is wrong; names the line.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}.") from error
    requests = list(_labelled_requests(lines, file.name, tasks))
    if not requests:
        raise InputError(f"{file.name} holds no requests.")
    return requests


def judge(planner: Planner, requests: Sequence[LabelledRequest], seed: int = 0) -> dict[str, Any]:
    """Plan every request and count.

    Returns:
        JSON-able: `exact` and `first_task` with intervals, `answered` (the share that is not asked
        back as uncertain) and `exact_when_answered` (null where none is), `by_kind`, `by_lang`,
        `confusion` of the first task (right -> chosen -> count), `calibration_error` of the plan's
        confidence with its `reliability` bins, `milliseconds`, `wrong` lines and `failed` ones.
    """
    planner.plan(requests[0].text, requests[0].history)  # warm
    results = [_plan(planner, request) for request in tqdm(requests, unit="request")]
    confidence = np.array([result.confidence for result in results])
    right = np.array([result.right for result in results])
    pairs = [
        (result.request.plan[0][0], result.plan[0][0] if result.plan else "none")
        for result in results
    ]
    firsts = [right_task == chosen for right_task, chosen in pairs]
    confusion: dict[str, Counter[str]] = {}
    for right_task, chosen in pairs:
        confusion.setdefault(right_task, Counter())[chosen] += 1
    answered = [result.right for result in results if not result.asked]
    milliseconds = [result.milliseconds for result in results]
    calibration = choice_metrics.expected_calibration_error(confidence, right)
    return {
        "rows": len(results),
        "exact": _share(right.tolist(), seed),
        "first_task": _share(firsts, seed),
        "answered": _share([not result.asked for result in results], seed),
        "exact_when_answered": _share(answered, seed) if answered else None,
        "by_kind": _grouped([result.request.kind for result in results], right.tolist(), seed),
        "by_lang": _grouped([result.request.lang for result in results], right.tolist(), seed),
        "confusion": {task: dict(counts.most_common()) for task, counts in confusion.items()},
        "calibration_error": figures.figure(calibration, seed).model_dump(),
        "reliability": choice_metrics.reliability(confidence, right),
        "milliseconds": {
            "median": round(statistics.median(milliseconds), 2),
            "p90": round(float(np.quantile(milliseconds, 0.9)), 2),
        },
        "wrong": [_wrong(result) for result in results if not result.right],
        "failed": {
            result.request.line: result.error for result in results if result.error is not None
        },
    }


def record(file: Path, tasks: dict[str, str], judged: dict[str, Any]) -> dict[str, Any]:
    """The whole result with what it was made from; `tasks` is name -> fingerprint."""
    data = {"data": file.name, "sha256": fingerprint.sha256_file(file), "tasks": tasks}
    return {**data, **judged}


def _labelled_requests(
    lines: list[str], name: str, tasks: Collection[str]
) -> Iterator[LabelledRequest]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _labelled_request(number, line, tasks)
            except InputError as error:
                raise InputError(f"{name}, line {number}: {error}") from error


def _labelled_request(number: int, line: str, tasks: Collection[str]) -> LabelledRequest:
    try:
        row = json.loads(line)
        text, plan = row["text"], [(step["task"], step.get("target_lang")) for step in row["plan"]]
        turns: list[Message] = [
            {"role": turn["role"], "content": turn["content"]} for turn in row.get("history") or []
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            'needs {"text": ..., "plan": [{"task": ..., "target_lang": ...}]}, and `history` as '
            f"a list of messages where there is one ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(text, str) or not plan:
        raise InputError("needs a text and at least one step in `plan`.")
    for task, _ in plan:
        if task not in tasks:
            raise UnknownName("task", str(task), tasks)
    return LabelledRequest(
        number, text, turns, plan, str(row.get("kind", "")), str(row.get("lang", ""))
    )


def _plan(planner: Planner, request: LabelledRequest) -> PlannedRequest:
    started = time.perf_counter()
    try:
        plan = planner.plan(request.text, request.history)
    except PatchbayError as error:
        return PlannedRequest(request, [], error=str(error))
    label: PlanLabel = []
    for step in plan.steps:
        label.append((step.task, planner.tasks[step.task].target_language(step.slots)))
    milliseconds = 1000 * (time.perf_counter() - started)
    return PlannedRequest(request, label, plan.confidence, plan.uncertain, milliseconds)


def _share(right: Sequence[bool], seed: int) -> dict[str, Any]:
    return figures.figure(mean("share", list(map(float, right))), seed).model_dump()


def _grouped(names: Sequence[str], right: Sequence[bool], seed: int) -> dict[str, Any]:
    groups = sorted(set(names) - {""})
    return {
        name: _share([r for n, r in zip(names, right, strict=True) if n == name], seed)
        for name in groups
    }


def _wrong(planned: PlannedRequest) -> dict[str, Any]:
    return {
        "line": planned.request.line,
        "text": planned.request.text,
        "wanted": planned.request.plan,
        "found": planned.plan,
        "confidence": round(planned.confidence, 4),
    }
