"""A task done with every row of a table, and what comes of it when a run is cut off."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from batch_process import run_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.agent import Agent
from agent.batch.assignment import Assignment, column_in, of_request, of_task, said
from agent.batch.commands import time_left
from agent.batch.journal import Journal
from agent.batch.output import merged, neutralized, result_columns, write_output
from agent.batch.run import BatchRun
from agent.batch.table import Table, read_table
from agent.planning.planner import Planner
from core.errors import AsksBack, EngineAway, InputError, UnknownName
from engine.fake import FakeEngine
from engine.interface import ChooseRequest
from tasks.spec import load_tasks

ROWS = [f"Row {i}: positive things" + " and negative ones" * (i % 3) for i in range(40)]


@pytest.fixture
def make(planner: Planner) -> Callable[..., Agent]:
    return lambda **more: Agent(FakeEngine(**more), load_tasks(), planner)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return read_table(written(tmp_path / "in.csv", [["id", "text"], *enumerate(ROWS)]))


def written(file: Path, rows: list[Any], encoding: str = "utf-8") -> Path:
    with file.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream).writerows(rows)
    return file


def finish(run: BatchRun, file: Path) -> Journal:
    journal = Journal(file)
    with journal.open(run.settings):
        for _ in run.run(journal, threading.Event()):
            pass
    return journal


def sentiment(agent: Agent) -> Assignment:
    return of_task(agent.tasks["sentiment"], {}, agent.planner)


def output(run: BatchRun, journal: Journal, file: Path) -> Path:
    names = run.columns
    rows = merged(run.table, journal.results, names)
    write_output(file, [*run.table.columns, *names.values()], rows)
    return file


def test_every_row_has_its_label_in_the_order_of_the_table(
    make: Callable[..., Agent], table: Table, tmp_path: Path
) -> None:
    agent = make(delay=0.002)
    run = BatchRun(agent, table, "text", sentiment(agent))
    file = output(run, finish(run, tmp_path / "j"), tmp_path / "out.csv")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["text"] for row in rows] == ROWS
    expected = ["negative" if i % 3 == 2 else "positive" for i in range(40)]
    assert [row["sentiment"] for row in rows[::3]] == expected[::3]
    assert [row["sentiment"] for row in rows[2::3]] == expected[2::3]
    total = sum(float(rows[0][f"sentiment_{x}"]) for x in ("positive", "negative", "neutral"))
    assert total == pytest.approx(1, abs=1e-3)
    assert rows[0]["sentiment_confidence"] == rows[0]["sentiment_positive"]
    assert {row["sentiment_adapter"] for row in rows} == {"base"}
    assert all(len(row["sentiment_fingerprint"]) == 12 for row in rows)


def test_one_pass_a_row_and_all_of_them_marked_as_rows(
    make: Callable[..., Agent], table: Table, tmp_path: Path
) -> None:
    agent = make()
    finish(BatchRun(agent, table, "text", sentiment(agent)), tmp_path / "j")
    calls = agent.engine.calls  # type: ignore[attr-defined]
    assert len(calls) == len(ROWS)  # none to say which words decided
    assert {type(call) for call in calls} == {ChooseRequest}
    assert len({call.batch for call in calls}) == 1
    assert calls[0].batch


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1))
def test_a_run_cut_off_at_any_byte_goes_on_to_the_same_result(
    make: Callable[..., Agent], table: Table, tmp_path: Path, share: float
) -> None:
    agent = make()
    run = BatchRun(agent, table, "text", sentiment(agent))
    whole = tmp_path / "whole"
    if not whole.exists():
        output(run, finish(run, whole), tmp_path / "whole.csv")
    content = whole.read_bytes()
    half = tmp_path / "half"
    half.write_bytes(content[: int(share * len(content))])
    before = half.read_bytes().count(b'{"row"') and Journal(half)
    if before:
        before.read()
    kept = len(before.results) if before else 0
    agent.engine.calls.clear()  # type: ignore[attr-defined]
    after = output(run, finish(run, half), tmp_path / "half.csv")
    assert len(agent.engine.calls) == len(ROWS) - kept  # type: ignore[attr-defined]
    assert after.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.slow
def test_killed_at_ten_random_places_it_gives_what_it_gives_unharmed(tmp_path: Path) -> None:
    rows = [[i, text] for i, text in enumerate(ROWS * 25)]
    file = written(tmp_path / "in.csv", [["id", "text"], *rows])
    forks = multiprocessing.get_context("forkserver")  # which imports once for all of them
    forks.set_forkserver_preload(["batch_process", "agent.__main__", "agent.build", "engine.fake"])

    def start(name: str) -> Any:
        arguments = batch_arguments(file, tmp_path / name)
        process = forks.Process(target=run_command, args=(tmp_path / "home", *arguments))
        process.start()
        return process

    unharmed = start("whole.csv")
    unharmed.join(300)
    assert unharmed.exitcode == 0
    journal, generator = tmp_path / "cut.csv.journal", random.Random(5)
    for place in sorted(generator.sample(range(2, len(rows) * 9 // 10), 10)):
        running = start("cut.csv")
        while running.is_alive() and lines(journal) < place:
            time.sleep(0.001)
        finished = lines(journal)
        running.kill()
        running.join(60)
        assert running.exitcode == -signal.SIGKILL
        assert len(rows) >= lines(journal) >= finished
        assert not (tmp_path / "cut.csv").exists()
    last = start("cut.csv")
    last.join(300)
    assert last.exitcode == 0
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    done = [json.loads(line) for line in journal.read_text().splitlines()]
    numbers = [one["row"]["line"] for one in done if "row" in one]
    assert len(numbers) == len(set(numbers)) == len(rows)  # none was computed twice


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    file = written(tmp_path / "in.csv", [["id", "text"], *enumerate(ROWS * 20)])
    running = command(file, tmp_path / "out.csv")
    while lines(tmp_path / "out.csv.journal") < 20:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command goes on from there" in said
    assert "of 800 rows" in said
    assert not (tmp_path / "out.csv").exists()


def command(file: Path, output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *batch_arguments(file, output)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATCHBAY_HOME": str(file.parent / "home")},
    )


def batch_arguments(file: Path, output: Path) -> list[str]:
    arguments = ["--task", "sentiment", "--column", "text", "--output", str(output)]
    return ["batch", str(file), *arguments, "--engine", "fake"]


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_other_settings_another_table_and_a_changed_one_are_refused(
    make: Callable[..., Agent], table: Table, tmp_path: Path
) -> None:
    agent = make()
    finish(BatchRun(agent, table, "text", sentiment(agent)), tmp_path / "j")
    with pytest.raises(InputError, match=r"column: 'text', now 'id'"):
        finish(BatchRun(agent, table, "id", sentiment(agent)), tmp_path / "j")
    longer = [["id", "text"], *enumerate(ROWS), [99, "one more"]]
    changed = read_table(written(tmp_path / "in.csv", longer))
    with pytest.raises(InputError, match="has changed since"):
        finish(BatchRun(agent, changed, "text", sentiment(agent)), tmp_path / "j")


def test_two_runs_of_one_journal_are_one_too_many(
    make: Callable[..., Agent], table: Table, tmp_path: Path
) -> None:
    agent = make()
    run = BatchRun(agent, table, "text", sentiment(agent))
    with Journal(tmp_path / "j").open(run.settings), pytest.raises(InputError, match="Another"):
        finish(run, tmp_path / "j")


def test_a_row_without_an_answer_says_why_and_the_others_go_on(
    make: Callable[..., Agent], tmp_path: Path
) -> None:
    texts = ["fine, positive", "  ", "good " * 300, "negative"]
    file = tmp_path / "in.csv"
    file.write_text("text,n\n" + "".join(f'"{t}",1\n' for t in texts) + "a,b,c\n")
    agent = make(context_tokens=200)
    run = BatchRun(agent, read_table(file), "text", sentiment(agent))
    journal = finish(run, tmp_path / "j")
    errors = [one.error for _, one in sorted(journal.results.items())]
    assert [bool(error) for error in errors] == [False, True, False, False, True]
    assert "is empty" in errors[1]
    assert "3 columns where the header has 2" in errors[4]
    assert run.progress(journal).failed == 2


def test_an_engine_that_is_away_ends_the_run_and_blames_no_row(
    make: Callable[..., Agent], table: Table, tmp_path: Path
) -> None:
    class Away(FakeEngine):
        def choose(self, *args: Any) -> Any:
            if len(self.calls) > 9:
                raise EngineAway("The server does not answer.")
            return super().choose(*args)

    agent = make()
    agent.engine = Away()
    run = BatchRun(agent, table, "text", sentiment(agent))
    with pytest.raises(EngineAway):
        finish(run, tmp_path / "j")
    agent.engine = FakeEngine()
    journal = finish(run, tmp_path / "j")
    assert not any(one.error for one in journal.results.values())
    assert len(journal.results) == len(ROWS)
    assert len(agent.engine.calls) >= len(ROWS) - 10 - agent.engine.rows_together


def test_columns_are_named_and_missed_by_name(table: Table, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no column in in.csv named 'txt'.*Did you mean text"):
        table.require("txt")
    with pytest.raises(InputError, match="more than one column named 'a'"):
        read_table(written(tmp_path / "two.csv", [["a", "a", "b"], [1, 2, 3]]))
    with pytest.raises(InputError, match="no rows under its header"):
        read_table(written(tmp_path / "none.csv", [["a", "b"]]))
    index = read_table(written(tmp_path / "index.csv", [["", "a"], [0, "x"]]))
    assert index.columns == ["a"]
    assert "1 of its columns have no name" in index.notes[0].english


def test_a_table_of_any_encoding_and_form(tmp_path: Path) -> None:
    rows = [["编号", "评论"], [1, "房间很小，再也不来了"], [2, "很喜欢，下次还来这家酒店"]]
    gbk = read_table(written(tmp_path / "gbk.csv", rows, "gb18030"), columns=["评论"])
    assert [row.text("评论") for row in gbk.rows] == [rows[1][1], rows[2][1]]
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "book.xlsx")
    sheet = read_table(tmp_path / "book.xlsx")
    assert [row.text("评论") for row in sheet.rows] == [rows[1][1], rows[2][1]]
    assert sheet.rows[0].cells["编号"] == 1
    (tmp_path / "x.jsonl").write_text('{"a": "x"}\n{"b": ["y"]}\n')
    assert read_table(tmp_path / "x.jsonl").columns == ["a", "b"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl"])
def test_what_is_written_is_read_back_and_is_no_formula(suffix: str, tmp_path: Path) -> None:
    cells = {"a": "=cmd|' /C calc'!A0", "b": "-5", "c": 'two\nlines, "quoted"', "d": "@SUM(1)"}
    write_output(tmp_path / f"out{suffix}", list(cells), iter([cells]))
    [row] = read_table(tmp_path / f"out{suffix}").rows
    marked = suffix in {".csv", ".tsv"}
    assert row.cells["a"] == ("'" if marked else "") + cells["a"]
    assert row.cells["d"] == ("'" if marked else "") + cells["d"]
    assert row.cells["b"] == "-5"
    assert row.cells["c"] == cells["c"]
    if suffix == ".xlsx":
        sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
        assert sheet["A2"].data_type == "s"


@settings(deadline=None)
@given(st.text())
def test_a_neutralized_cell_is_told_from_all_others(text: str) -> None:
    written = neutralized(text)
    assert not written or written[0] not in "=@\t\r\n"
    assert neutralized(written) == written or written.startswith("'")
    if written != text:
        assert written == "'" + text
        assert neutralized(text[1:] if text.startswith("'") else "") != text or text[0] == "'"
    else:  # what stands as it was does not look like something that was changed
        assert not (text.startswith("'") and neutralized(text[1:]) == text)


def test_names_of_result_columns_are_none_of_the_tables(table: Table) -> None:
    assert result_columns(table, "sentiment", ["positive"])["text"] == "sentiment"
    clash = Table("x", "", ["sentiment_adapter"], (), ())
    assert result_columns(clash, "sentiment", [])["adapter"] == "sentiment_2_adapter"


@pytest.mark.parametrize(
    ("request_", "columns", "column", "planned"),
    [
        ("sentiment of column review", ["id", "review"], "review", "sentiment"),
        ("translate column text into French", ["text"], "text", "translation target=fr"),
        ("translate the text column from German into French", ["text"], "text",
         "translation target=fr source=de"),
        ("把评论列翻译成英文", ["编号", "评论"], "评论", "translation target=en"),
        ('label column "customer note" as complaint or praise', ["note", "customer note"],
         "customer note", "classification labels=complaint,praise"),
        ("summarise column text and translate it into Spanish", ["text"], "text",
         "summarization length=sentence → translation target=es"),
    ],
)  # fmt: skip
def test_a_request_in_words_names_column_and_task(
    planner: Planner, request_: str, columns: list[str], column: str, planned: str
) -> None:
    found, wish = column_in(request_, columns)
    assert found == column
    sample = "The room was tiny and the shower never got warm."
    assert sorted(said(of_request(wish, sample, planner)).split()) == sorted(planned.split())


def test_each_row_has_the_language_that_it_is_in(planner: Planner) -> None:
    tasks = load_tasks()
    assignment = of_task(tasks["translation"], {"target": "French"}, planner)
    for text, source in (("Das Zimmer war sehr klein und kalt.", "de"), ("房间很小，很冷", "zh")):
        [step] = assignment.plan(text, tasks).steps
        assert step.slots == {"target": "fr", "source": source}
        assert step.text == text


def test_what_is_no_task_of_a_table_is_said(planner: Planner) -> None:
    tasks = load_tasks()
    with pytest.raises(InputError, match="no slot 'to'"):
        of_task(tasks["translation"], {"to": "French"}, planner)
    with pytest.raises(InputError, match="two different labels"):
        of_task(tasks["classification"], {"labels": "one"}, planner)
    with pytest.raises(AsksBack):
        of_request("translate this text into Klingonese", "The room was tiny.", planner)


def test_time_left_is_said_as_people_say_it() -> None:
    assert [time_left(s) for s in (4, 75, 12_000)] == ["4 s", "1 min", "3 h 20 min"]
