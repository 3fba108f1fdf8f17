"""Tables of the page's visitors: whose they are, and what survives a restart."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from polling import eventually
from pyarrow import parquet

from agent.agent import Agent
from agent.batch.assignment import of_task
from agent.batch.figures import agreement, wilson
from agent.batch.kept import KEPT_SECONDS, PREVIEW_ROWS, KeptTable, KeptTables
from agent.batch.table import read_table, read_upload
from agent.options import TurnOptions
from core.errors import InputError, NotAllowed, UnknownName
from engine.fake import FakeEngine
from tasks.spec import load_tasks

PLANNER: Any = None  # a task by its name needs none
ANN = TurnOptions(visitor="ann")


def agent(**engine: Any) -> Agent:
    return Agent(FakeEngine(**engine), load_tasks(), PLANNER)


def add(tables: KeptTables, folder: Path, owner: str = "ann") -> KeptTable:
    file = folder / "upload.csv"
    rows = [f"{['positive', 'negative'][i % 2]} {i},{i % 2 ^ 1}\n" for i in range(60)]
    file.write_text("text,gold\n" + "".join(rows))
    kept = tables.add(file, "reviews.csv", owner)
    kept.choose("text", of_task(tables.agent.tasks["sentiment"], {}, PLANNER))
    assert not file.exists()
    return kept


def test_a_table_goes_on_in_another_process_where_it_was(tmp_path: Path) -> None:
    tables = KeptTables(agent(delay=0.05), tmp_path / "tables")
    kept = add(tables, tmp_path)
    kept.preview(ANN)
    assert (len(kept.results), kept.state) == (PREVIEW_ROWS, "paused")
    kept.start(ANN)
    assert eventually(lambda: len(kept.results) > 20, 60)
    kept.halt()
    assert kept.state == "paused"
    done = len(kept.results)
    kept.correct(2, "neutral")
    later = KeptTables(agent(), tmp_path / "tables").get(kept.key, "ann")
    assert (later.state, len(later.results)) == ("paused", done)
    later.start(ANN)
    assert eventually(lambda: later.state == "finished", 60)
    assert len(later._tables.agent.engine.calls) == 60 - done  # type: ignore[attr-defined]
    assert later.corrected()[2].text == "neutral"
    assert "it was positive" in later.corrected()[2].notes[0]
    assert later.results[2].text == "positive"
    with pytest.raises(UnknownName):
        later.correct(3, "delighted")


def test_a_table_is_its_owners_and_goes_when_it_is_removed_or_forgotten(tmp_path: Path) -> None:
    tables = KeptTables(agent(), tmp_path / "tables")
    kept = add(tables, tmp_path)
    for key, owner in ((kept.key, "bob"), ("../" + kept.key, "ann"), ("0" * 32, "ann"), ("", "")):
        with pytest.raises(InputError, match="not here any more"):
            tables.get(key, owner)
    with pytest.raises(InputError):
        tables.remove(kept.key, "bob")
    tables.remove(kept.key, "ann")
    assert list((tmp_path / "tables").iterdir()) == []
    forgotten = add(tables, tmp_path)
    long_ago = time.time() - KEPT_SECONDS - 60
    os.utime(forgotten.folder / "table.json", (long_ago, long_ago))
    recent = add(tables, tmp_path)
    assert [folder.name for folder in (tmp_path / "tables").iterdir()] == [recent.key]


def test_what_is_no_table_leaves_nothing_behind(tmp_path: Path) -> None:
    tables = KeptTables(agent(), tmp_path / "tables")
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * 301_000_000)
    with pytest.raises(InputError, match="unpacks to 301 MB"):
        tables.add(bomb, "bomb.xlsx", "")
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3_000_000), ["x" * 10_000])
    parquet.write_table(pyarrow.table({"text": many}), bomb.with_suffix(".parquet"))
    with pytest.raises(InputError, match=r"^small\.parquet "):  # 30 GB
        tables.add(bomb.with_suffix(".parquet"), "small.parquet", "")
    empty = empty_file(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="is empty"):
        tables.add(empty, "empty\u202e.csv", "")
    assert not (tmp_path / "tables").exists() or not list((tmp_path / "tables").iterdir())


def test_an_upload_is_read_as_a_file_is(tmp_path: Path) -> None:
    file = tmp_path / "table.jsonl"
    file.write_text('{"text": "a\\ud83d", "more": [1.5]}\n{broken\n{"text": "词"}\n', "utf-8")
    assert read_upload(file, "table.jsonl") == read_table(file)
    assert [row.line for row in read_upload(file, "x.jsonl").rows if row.broken] == [2]
    with pytest.raises(InputError, match=r"^mine\.csv is empty"):
        read_upload(empty_file(tmp_path / "table.csv"), "mine.csv")


def empty_file(file: Path) -> Path:
    file.write_bytes(b"")
    return file


def test_the_adapters_of_a_key_hold_for_its_tables(tmp_path: Path) -> None:
    own = agent(adapters={"sentiment": "0123456789ab"})
    tables = KeptTables(own, tmp_path / "tables")
    kept = add(tables, tmp_path)
    held = TurnOptions(visitor="ann", allowed=frozenset({"another"}))
    with pytest.raises(NotAllowed):
        kept.preview(held)
    kept.start(held)
    assert eventually(lambda: kept.state == "failed", 60)
    assert "'sentiment', and the key" in kept.error
    assert kept.results == {}


def test_one_table_runs_and_the_next_waits(tmp_path: Path) -> None:
    tables = KeptTables(agent(delay=0.1), tmp_path / "tables")
    first, second = add(tables, tmp_path), add(tables, tmp_path)
    first.start(ANN)
    assert eventually(lambda: first.state == "running", 60)
    second.start(TurnOptions(visitor="bob"))
    assert eventually(lambda: second.state == "waiting", 60)
    assert eventually(lambda: second.state in {"running", "finished"}, 60)
    assert first.state == "finished"
    second.halt()


def test_answers_against_right_labels_in_the_tasks_codings(tmp_path: Path) -> None:
    tables = KeptTables(agent(), tmp_path / "tables")
    kept = add(tables, tmp_path)
    kept.start(ANN)
    assert eventually(lambda: kept.state == "finished", 60)
    task = tables.agent.tasks["sentiment"]
    found = agreement(kept.table, "gold", kept.results, task=task, labels=kept.labels)  # 1 and 0
    assert found is not None
    assert (found.rows, found.skipped, found.accuracy) == (60, 0, 1.0)
    assert found.confusion == {("positive", "positive"): 30, ("negative", "negative"): 30}
    assert agreement(kept.table, "text", kept.results, task=task, labels=kept.labels) is None


def test_wilsons_interval() -> None:
    # Brown, Cai and DasGupta (2001): 95% of 0 in 10 reaches 0.2775.
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
