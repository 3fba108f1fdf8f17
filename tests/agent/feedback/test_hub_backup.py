"""What is kept comes back on an empty disk, through the hub's own client and a hub on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub import TOKEN, Hub, hub
from huggingface_hub import HfApi, constants
from served import free_port

from adapter_store.promotions import Promotions
from agent.feedback.hub_backup import HubBackup
from agent.feedback.store import Correction, Feedback, Rating
from core import paths
from core.errors import SettingsError

NAME = "you/ratings"
LIKE = Rating("t1", 1, "好的\u2028next line", "answer", ["translation"], {"base": "b"})
WRONG = Correction("t2", "text", ["summarization"], ["generation"], 0.6, [], {"base": "b"})
Disk = Callable[[str], HubBackup]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # files go over HTTP
    with hub() as running:
        yield running


@pytest.fixture
def disk(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Go to a disk of that name, empty at first, and keep it on the hub."""

    def go(name: str) -> HubBackup:
        monkeypatch.setenv("PATCHBAY_HOME", str(tmp_path / name))
        return HubBackup(NAME, Feedback(), HfApi(there.address, token=TOKEN))

    return go


def adapter(name: str, content: bytes = b"weights") -> Path:
    folder = paths.user_dir() / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "checkpoint.pt").write_bytes(b"not needed")
    return folder


def test_everything_comes_back_on_an_empty_disk(there: Hub, disk: Disk) -> None:
    backup = disk("first")
    Feedback().rate(LIKE)
    Feedback().correct(WRONG)
    adapter("mine")
    adapter("not-promoted")
    Promotions().promote("sentiment", "mine", "f1", {"accuracy": 0.9})
    backup.sync()
    assert backup.problem == ""
    assert there.repositories[NAME].private
    history = list(Promotions().history())

    disk("second").sync()
    assert Feedback().ratings() == [LIKE]
    assert Feedback().corrections() == [WRONG]
    assert list(Promotions().history()) == history
    folder = paths.user_dir() / "adapters"
    assert [path.name for path in folder.iterdir()] == ["mine"]
    files = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    assert files == {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def test_only_what_changed_makes_a_commit_and_a_rating_taken_back_leaves(
    there: Hub, disk: Disk
) -> None:
    backup = disk("one")
    Feedback().rate(LIKE)
    backup.sync()
    commits = len(there.repositories[NAME].commits)
    backup.sync()
    assert len(there.repositories[NAME].commits) == commits
    Feedback().rate(replace(LIKE, rating=0))
    backup.sync()
    assert len(there.repositories[NAME].commits) == commits + 1
    assert there.repositories[NAME].files["ratings.jsonl"] == b""


def test_a_hub_that_is_down_at_the_start_loses_nothing_of_either_side(
    there: Hub, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    before = disk("before")
    Feedback().rate(LIKE)
    before.sync()

    there.down = True
    backup = disk("after")
    backup.sync()
    assert "500" in backup.problem
    assert NAME in caplog.text
    Feedback().rate(replace(LIKE, turn="t3"))

    there.down = False
    backup.sync()
    assert backup.problem == ""
    assert {row.turn for row in Feedback().ratings()} == {"t1", "t3"}
    rows = there.repositories[NAME].files["ratings.jsonl"].decode().split("\n")[:-1]
    assert {json.loads(row)["turn"] for row in rows} == {"t1", "t3"}


def test_two_that_write_at_one_time_overwrite_nothing(there: Hub, disk: Disk) -> None:
    """An old Space keeps serving while its successor starts."""
    old = disk("old")
    old.sync()
    new = disk("new")
    new.sync()
    disk("old")
    Feedback().rate(LIKE)
    old.sync()
    disk("new")
    Feedback().rate(replace(LIKE, turn="t3"))
    new.sync()
    assert {row.turn for row in Feedback().ratings()} == {"t1", "t3"}
    assert b"t1" in there.repositories[NAME].files["ratings.jsonl"]


def test_a_public_data_set_gets_no_words(there: Hub, disk: Disk) -> None:
    there.make(NAME, private=False)
    backup = disk("one")
    Feedback().rate(LIKE)
    backup.sync()
    assert "is public" in backup.problem
    assert list(there.repositories[NAME].files) == [".gitattributes"]


def test_damage_on_the_hub_is_told_and_not_replaced(there: Hub, disk: Disk) -> None:
    there.make(NAME).commit({"ratings.jsonl": b'{"turn": "t1"\n'})
    backup = disk("one")
    Feedback().rate(LIKE)
    backup.sync()
    assert "ratings.jsonl in the data set, line 1" in backup.problem
    assert there.repositories[NAME].files["ratings.jsonl"] == b'{"turn": "t1"\n'


def test_a_wrong_token_is_a_sentence(there: Hub, disk: Disk) -> None:
    disk("one")
    backup = HubBackup(NAME, Feedback(), HfApi(there.address, token="hf_wrong"))
    backup.sync()
    assert "HF_TOKEN" in backup.problem


def test_without_a_token_the_start_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="HF_TOKEN"):
        HubBackup(NAME, Feedback())


@pytest.mark.slow
def test_the_app_brings_back_at_its_start_and_copies_at_its_end(
    there: Hub, disk: Disk, tmp_path: Path
) -> None:
    before = disk("before")
    Feedback().rate(LIKE)
    before.sync()
    feedback = Feedback(tmp_path / "new" / "feedback.sqlite")
    own = {
        "PATCHBAY_HOME": str(feedback.file.parent),
        "PATCHBAY_KEEP_IN": NAME,
        "HF_ENDPOINT": there.address,
        "HF_TOKEN": TOKEN,
        "PYTHONUNBUFFERED": "1",
    }
    app = subprocess.Popen(
        [sys.executable, "app.py", "--engine", "fake", "--port", str(free_port())],
        cwd=paths.REPOSITORY,
        env={**os.environ, **own},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert app.stdout
    try:
        assert any("Ready in" in line for line in iter(app.stdout.readline, ""))
        assert feedback.ratings() == [LIKE]
        feedback.rate(replace(LIKE, turn="t3"))
        app.send_signal(signal.SIGTERM)
        assert app.wait(60) == 0
    finally:
        app.kill()
    assert b'"t3"' in there.repositories[NAME].files["ratings.jsonl"]
