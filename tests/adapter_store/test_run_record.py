"""Run records: written as they always were, read whatever else they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_store.discovery import adapter_folders
from adapter_store.files import RUN_RECORD
from adapter_store.run_record import RunRecord, read_run_record, write_run_record
from adapter_store.scope import Scope
from core.errors import AdapterError
from core.paths import shipped_adapter_dirs

SHIPPED = adapter_folders(shipped_adapter_dirs())


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def put(folder: Path, values: object) -> RunRecord:
    (folder / RUN_RECORD).write_text(json.dumps(values))
    return read_run_record(folder)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_record_is_written_byte_for_byte_as_it_is(name: str, adapter: Path) -> None:
    record = read_run_record(SHIPPED[name])
    assert record.name == name
    write_run_record(adapter, record)
    assert (adapter / RUN_RECORD).read_bytes() == (SHIPPED[name] / RUN_RECORD).read_bytes()


@pytest.mark.parametrize("name", [name for name in SHIPPED if "-" in name])
def test_an_older_record_tells_its_task_by_the_fingerprint(name: str) -> None:
    record = read_run_record(SHIPPED[name])
    assert not record.task_name
    assert record.trained_for == name.split("-", maxsplit=1)[0]


def test_a_record_names_its_task(adapter: Path) -> None:
    record = put(adapter, {"task": "old-name-v12-0123456789ab", "task_name": "triage-v2"})
    assert record.trained_for == "triage-v2"
    assert put(adapter, {"task": "triage-v2-v12-0123456789ab"}).trained_for == "triage-v2"
    assert put(adapter, {"task": "sentiment"}).trained_for == "sentiment"
    assert put(adapter, {}).trained_for == ""


def test_what_another_program_wrote_is_passed_over(adapter: Path) -> None:
    record = put(adapter, {"seed": "many", "data": "rows.csv", "start": [], "wandb": {"id": 3}})
    assert (record.seed, record.data, record.start) == (0, [], None)
    assert record.scope == Scope()
    assert json.loads(record.as_json())["wandb"] == {"id": 3}


def test_no_record_is_an_empty_one(adapter: Path) -> None:
    assert read_run_record(adapter) == RunRecord()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a run record"),
        ('{"scope": {"slot": 1}}', "is not a run record"),
        ('{"scope": null}', "is not a run record"),
        (" " * 2**21, "is larger than 1 MiB"),
    ],
)
def test_a_scope_that_cannot_be_read_is_no_scope_for_everything(
    text: str, said: str, adapter: Path
) -> None:
    (adapter / RUN_RECORD).write_text(text)
    with pytest.raises(AdapterError, match=rf"mine: run\.json {said}"):
        read_run_record(adapter)


def test_what_a_training_went_on_from_is_kept_word_for_word(adapter: Path) -> None:
    data = [{"name": "a", "licence": "CC0", "train_rows": 3, "mine": 1}]
    before = put(adapter, {"name": "first", "adapter": "abc", "seed": 4, "data": data})
    start = before.as_start([{"path": "a.jsonl"}])
    assert json.loads(RunRecord(name="second", start=start).as_json()) == {
        "name": "second",
        "start": {
            "name": "first",
            "adapter": "abc",
            "data": data,
            "recipe": {"data": [{"path": "a.jsonl"}]},
        },
    }
