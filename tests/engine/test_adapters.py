"""A bad adapter is refused with the reason; the rest keep working; changes appear at run time."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from bad_adapters import BREAKS, Trap, set_config

from adapter_store.scope import Scope
from core.errors import AdapterError, UnknownName
from engine.adapters import AdapterLibrary, library_of
from engine.base_model import Base
from engine.interface import Delta, Usage, WriteRequest
from engine.load_base import load_base
from tasks.spec import Decoding


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> Base:
    return load_base(tiny.settings(tiny_folder))


@pytest.fixture(scope="module")
def good(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.add_adapter(tiny_folder, tmp_path_factory.mktemp("good"), "good", 1)


@pytest.fixture
def shelf(tmp_path: Path, good: Path) -> Path:
    folder = tmp_path / "adapters"
    shutil.copytree(good, folder / "good")
    return folder


def library(base: Base, shelf: Path) -> AdapterLibrary:
    return library_of(base, [shelf])


@pytest.mark.parametrize("name", BREAKS)
def test_refused_with_the_reason_and_the_rest_work(base: Base, shelf: Path, name: str) -> None:
    shutil.copytree(shelf / "good", shelf / "bad")
    break_it, reason = BREAKS[name]
    break_it(shelf / "bad")
    adapters = library(base, shelf)
    assert adapters.names() == ["good"]
    ((refused, why),) = adapters.refused().items()
    assert reason in why
    with pytest.raises(AdapterError):
        adapters.get(refused)
    assert adapters.get("good").weights
    assert not list(shelf.rglob("sprung"))


def test_what_it_was_trained_for_is_read_from_its_record(base: Base, shelf: Path) -> None:
    adapters = library(base, shelf)
    assert adapters.scope("good") == Scope()
    (shelf / "good" / "run.json").write_text('{"scope": {"slots": {"target": ["fr"]}}}')
    assert adapters.scope("good") == Scope(slots={"target": ["fr"]})
    (shelf / "good" / "run.json").write_text('{"scope": {"slot": 1}}')
    assert "run.json is not a run record" in adapters.refused()["good"]


def test_it_is_known_whether_its_weights_are_in_memory(base: Base, shelf: Path) -> None:
    adapters = library(base, shelf)
    assert not adapters.loaded("good")
    adapters.get("good")
    assert adapters.loaded("good")
    adapters.unload("good")
    assert not adapters.loaded("good")


def test_its_temperature_is_read(base: Base, shelf: Path) -> None:
    adapters = library(base, shelf)
    assert adapters.calibration("good").temperature == 1
    (shelf / "good" / "calibration.json").write_text('{"temperature": 1.7, "rows": 90}')
    assert adapters.calibration("good").temperature == 1.7
    (shelf / "good" / "calibration.json").write_text('{"temperature": 0}')
    assert "is above 0, not 0" in adapters.refused()["good"]
    (shelf / "good" / "calibration.json").write_text('{"temperature": 1, "biases": {"a": -2.5}}')
    assert adapters.calibration("good").biases == {"a": -2.5}
    (shelf / "good" / "calibration.json").write_text('{"temperature": 1, "biases": {"a": NaN}}')
    assert "a bias is a finite number, not nan" in adapters.refused()["good"]


def test_a_link_out_of_the_folder_is_refused(base: Base, shelf: Path, good: Path) -> None:
    (shelf / "link").symlink_to(good)
    assert library(base, shelf).names() == ["good"]


def test_what_is_not_finite_when_it_is_scaled_is_refused_on_loading(
    base: Base, shelf: Path
) -> None:
    set_config(shelf / "good", lora_alpha=1e308)
    with pytest.raises(AdapterError, match="is not finite"):
        library(base, shelf).get("good")


def test_a_folder_that_cannot_be_read_keeps_no_other_from_being_served(
    base: Base, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shelf / "good", shelf / "bad")
    read = Path.read_text

    def broken(file: Path, **how: Any) -> str:
        if file.parent.name == "bad":
            raise PermissionError(13, "Permission denied")
        return read(file, **how)

    monkeypatch.setattr(Path, "read_text", broken)
    adapters = library(base, shelf)
    assert adapters.names() == ["good"]
    assert adapters.refused() == {"bad": "bad cannot be read: Permission denied."}
    monkeypatch.undo()
    assert adapters.names() == ["bad", "good"], "it is looked at again"


def test_what_else_lies_in_a_folder_is_not_read(base: Base, shelf: Path) -> None:
    folder = shelf / "good"
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    (folder / "chat_template.jinja").write_text("Obey: {{ messages }}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "Obey"}')
    (folder / "modeling.py").write_text("raise SystemExit")
    engine = tiny.engine(base, shelf)
    request = WriteRequest(({"role": "user", "content": "x"},), "good", Decoding(max_new_tokens=3))
    *_, used = engine.write(request)
    assert isinstance(used, Usage)
    assert used.prompt_tokens == engine.count_tokens(request.messages)
    assert not (folder / "sprung").exists()
    engine.close()


@pytest.mark.parametrize(
    "name",
    ["../good", "/etc/passwd", "good/../good", "", "nothing", "good\x00", "\x00", "n" * 10_000],
    ids=range(8),
)
def test_a_name_is_an_id_and_never_a_path(base: Base, shelf: Path, name: str) -> None:
    with pytest.raises(UnknownName, match="Available: good"):
        library(base, shelf).get(name)


def test_adapters_come_and_go_at_run_time(base: Base, shelf: Path) -> None:
    adapters = library(base, shelf)
    assert adapters.names() == ["good"]
    shutil.copytree(shelf / "good", shelf / "newer")
    assert adapters.names() == ["good", "newer"]
    assert adapters.fingerprint("newer") == adapters.fingerprint("good")
    shutil.rmtree(shelf / "good")
    assert adapters.names() == ["newer"]


def test_a_running_request_keeps_its_adapter(base: Base, shelf: Path) -> None:
    request = WriteRequest(({"role": "user", "content": "x"},), "good", Decoding(max_new_tokens=80))
    engine = tiny.engine(base, shelf)
    alone = [item.text for item in engine.write(request) if isinstance(item, Delta)]
    stream = engine.write(request)
    pieces = [next(stream)]
    engine.adapters.unload("good")
    shutil.rmtree(shelf / "good")
    pieces += list(stream)
    engine.close()
    assert [item.text for item in pieces if isinstance(item, Delta)] == alone


def test_the_least_recently_used_leaves_memory(base: Base, shelf: Path) -> None:
    shutil.copytree(shelf / "good", shelf / "other")
    set_config(shelf / "other", lora_alpha=3)
    adapters = library_of(base, [shelf], resident_bytes=1)
    first = adapters.get("good")
    assert adapters.get("good") is first
    adapters.get("other")
    assert adapters.get("good") is not first
