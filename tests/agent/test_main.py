"""The command line: what goes to standard output, what to standard error, and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from core.paths import REPOSITORY


def run(*arguments: str, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        check=False,
        input=given,
        capture_output=True,
        cwd=REPOSITORY,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", ""], "no text to answer"),
        (["ask", "\x01"], "no text to answer"),
        (["ask", "hi", "--task", "sentimnt"], "Did you mean sentiment"),
        (["ask", "hi", "--profile", "strater"], "Did you mean starter"),
        (["ask", "hi", "--file", "no/such/file.pdf"], "cannot be read"),
        (["ask", "-", "--file", "-"], "can be read once"),
        (["ask", "hi", "--file", "-"], "standard input is empty"),
        (["ask", "hi", "--content", "a", "--file", "-"], "Leave one out"),
        (["ask", "hi", "--output", "a.docx"], "is for one --file"),
        (["ask", "hi", "--file", "README.md", "--output", "NOTICE"], "is there already"),
        (["ask", "hi", "--file", "README.md", "--output", "no/a.md"], "is no folder"),
        (["ask", "hi", "--file", "results/speed.png", "--output", "b.png"], "picture"),
        (["route", "no/such/file.jsonl"], "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_a_status(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line


@pytest.mark.slow
def test_a_megabyte_is_refused_before_any_work() -> None:
    done = run("ask", "-", stdin="word " * 210_000)
    assert done.returncode != 0
    assert "1,050,000 characters" in done.stderr


@pytest.mark.slow
def test_route_plans_each_line_and_loses_none_to_a_broken_one() -> None:
    history = [
        {"role": "user", "content": "Translate into French: good night"},
        {"role": "assistant", "content": "bonne nuit"},
    ]
    lines = [
        json.dumps({"text": "Shorten this report, then give it to me in Italian"}),
        '{"text": "broken',
        json.dumps({"text": "and in Korean?", "history": history}),
        json.dumps({"text": 7}),
    ]
    done = run("route", "-", stdin="\n".join(lines))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode != 0
    assert rows[0]["plan"] == [
        {"task": "summarization"},
        {"task": "translation", "target_lang": "it"},
    ]
    assert 0 < rows[0]["confidence"] <= 1
    assert rows[0]["milliseconds"] > 0
    assert rows[2]["plan"] == [{"task": "translation", "target_lang": "ko"}]
    assert "line 2" in done.stderr
    assert "line 4" in done.stderr
    assert "error" in rows[1]


@pytest.mark.starter
def test_ask_prints_one_object() -> None:
    done = run("ask", "--json", "/sentiment What a wonderful surprise!")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (step,) = answer["plan"]
    assert (step["task"], step["adapter"], step["slots"]) == ("sentiment", "sentiment", {})
    assert sum(answer["labels"].values()) == pytest.approx(1)
    assert answer["text"] in {"positive", "negative", "neutral"}
    assert {"base", "quantization", "task"} <= set(answer["fingerprints"])
    assert answer["tokens"] > 0
    assert answer["seconds"] > 0


@pytest.mark.starter
@pytest.mark.parametrize(
    ("language", "answered_by"), [("French", "by translation"), ("Finnish", "by generation")]
)
def test_ask_streams_the_answer_alone_to_standard_output(language: str, answered_by: str) -> None:
    done = run("ask", f"Translate into {language}: Good morning.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "translation" in done.stderr
    assert answered_by in done.stderr
