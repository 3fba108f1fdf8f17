"""Routing figures on labelled requests, with the shipped planner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judging import TASKS, write_rows

from agent.planning.planner import Planner
from core.errors import InputError
from evaluation import report, routing

ASK = "Translate into French: hello"


def labelled(text: str, task: str, target: str | None = None, **more: object) -> dict[str, object]:
    step = {"task": task, **({"target_lang": target} if target else {})}
    return {"text": text, "plan": [step], **more}


REQUESTS = [
    labelled(ASK, "translation", "fr", kind="single", lang="en"),
    labelled(ASK, "translation", "de", kind="single", lang="en"),
    labelled("把“你好”翻译成英文", "translation", "en", lang="zh"),
    labelled("Write a poem about rain.", "sentiment", kind="decoy", lang="en"),
    labelled(
        "And in German?",
        "translation",
        "de",
        history=[{"role": "user", "content": ASK}, {"role": "assistant", "content": "bonjour"}],
    ),
]


def test_counts_by_hand(planner: Planner, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "r.jsonl", REQUESTS)
    judged = routing.judge(planner, routing.read(file, TASKS))
    assert (judged["rows"], judged["exact"]["value"], judged["first_task"]["value"]) == (
        5,
        0.6,
        0.8,
    )
    assert judged["by_kind"]["single"]["value"] == 0.5
    assert judged["by_lang"]["zh"]["rows"] == 1
    assert judged["confusion"] == {
        "translation": {"translation": 4},
        "sentiment": {"generation": 1},
    }
    assert [row["line"] for row in judged["wrong"]] == [2, 4]
    assert 0 <= judged["calibration_error"]["value"] <= 1
    assert judged["answered"]["value"] == 1 - sum(
        planner.plan(row["text"], row.get("history", ())).uncertain for row in REQUESTS
    ) / len(REQUESTS)
    assert judged["exact_when_answered"]["rows"] == round(5 * judged["answered"]["value"])
    assert judged["milliseconds"]["median"] > 0
    json.dumps(judged)
    lines = report.routing_as_text(routing.record(file, {}, judged)).splitlines()
    assert lines[0].startswith("exact plans")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "holds no requests"),
        ("{", "line 1: needs"),
        ('{"text": "a"}', "KeyError: 'plan'"),
        ('{"text": "a", "plan": []}', "at least one step"),
        ('{"text": "a", "plan": [{"task": "sentimnt"}]}', "Did you mean sentiment"),
        ('{"text": "a", "history": [1], "plan": [{"task": "sentiment"}]}', "line 1: needs"),
    ],
)
def test_wrong_lines(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(line)
    with pytest.raises(InputError, match=said):
        routing.read(file, TASKS)
