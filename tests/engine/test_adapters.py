"""A bad adapter is refused with the reason; the rest keep working; changes appear at run time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from core.errors import AdapterError, UnknownName
from engine.adapters import CONFIG, WEIGHTS, AdapterLibrary
from engine.base_model import Base, load_base
from engine.interface import Delta, WriteRequest
from tasks.scope import Scope
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
    return AdapterLibrary([shelf], base.name, base.switch.shapes, base.lay_out)


def set_config(folder: Path, **values: object) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def set_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def widen(weights: dict[str, torch.Tensor]) -> None:
    key = next(key for key in weights if "lora_A" in key)
    weights[key] = torch.zeros(4, 99)


def rename(weights: dict[str, torch.Tensor]) -> None:
    for key in list(weights):
        weights[key.replace("layers.0", "layers.9")] = weights.pop(key)


def smuggle(weights: dict[str, torch.Tensor]) -> None:
    weights["base_model.model.lm_head.weight"] = torch.zeros(2, 2)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "other base": (
        lambda f: set_config(f, base_model_name_or_path="org/other"),
        "trained on 'org/other'",
    ),
    "dora": (lambda f: set_config(f, use_dora=True), "use_dora, which this engine cannot serve"),
    "unknown key": (lambda f: set_config(f, evil="x"), "evil"),
    "bias": (lambda f: set_config(f, bias="all"), "bias"),
    "not lora": (lambda f: set_config(f, peft_type="PROMPT_TUNING"), "does not describe a LoRA"),
    "no rank": (lambda f: set_config(f, r=None), "numbers r and lora_alpha"),
    "broken json": (lambda f: (f / CONFIG).write_text("{"), "not JSON"),
    "pickle only": (
        lambda f: (f / WEIGHTS).rename(f / "adapter_model.bin"),
        "only safetensors are loaded",
    ),
    "damaged": (lambda f: (f / WEIGHTS).write_bytes(b"\xff" * 64), "damaged"),
    "wrong shape": (lambda f: set_weights(f, widen), "has shapes"),
    "no such layer": (lambda f: set_weights(f, rename), "has no layer"),
    "foreign weight": (lambda f: set_weights(f, smuggle), "not a LoRA weight"),
    "bad id": (lambda f: f.rename(f.with_name("bad name!")), "not an adapter id"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_refused_with_the_reason_and_the_rest_work(base: Base, shelf: Path, name: str) -> None:
    shutil.copytree(shelf / "good", shelf / "bad")
    break_it, reason = BREAKS[name]
    break_it(shelf / "bad")
    found = library(base, shelf)
    assert found.names() == ["good"]
    ((refused, why),) = found.refused().items()
    assert reason in why
    with pytest.raises(AdapterError):
        found.get(refused)
    assert found.get("good").layers


def test_what_it_was_trained_for_is_read_from_its_record(base: Base, shelf: Path) -> None:
    found = library(base, shelf)
    assert found.scope("good") == Scope()
    (shelf / "good" / "run.json").write_text('{"scope": {"slots": {"target": ["fr"]}}}')
    assert found.scope("good") == Scope(slots={"target": ["fr"]})
    (shelf / "good" / "run.json").write_text('{"scope": {"slot": 1}}')
    assert "run.json is not a run record" in found.refused()["good"]


def test_its_temperature_is_read(base: Base, shelf: Path) -> None:
    found = library(base, shelf)
    assert found.temperature("good") == 1
    (shelf / "good" / "calibration.json").write_text('{"temperature": 1.7, "rows": 90}')
    assert found.temperature("good") == 1.7
    (shelf / "good" / "calibration.json").write_text('{"temperature": 0}')
    assert "is above 0, not 0" in found.refused()["good"]


def test_a_link_out_of_the_folder_is_refused(base: Base, shelf: Path, good: Path) -> None:
    (shelf / "link").symlink_to(good)
    assert library(base, shelf).names() == ["good"]


def test_numbers_that_are_not_finite_are_refused_on_loading(base: Base, shelf: Path) -> None:
    def poison(weights: dict[str, torch.Tensor]) -> None:
        next(iter(weights.values()))[0, 0] = float("nan")

    set_weights(shelf / "good", poison)
    with pytest.raises(AdapterError, match="not finite"):
        library(base, shelf).get("good")


@pytest.mark.parametrize("name", ["../good", "/etc/passwd", "good/../good", "", "nothing"])
def test_a_name_is_an_id_and_never_a_path(base: Base, shelf: Path, name: str) -> None:
    with pytest.raises(UnknownName, match="Available: good"):
        library(base, shelf).get(name)


def test_adapters_come_and_go_at_run_time(base: Base, shelf: Path) -> None:
    found = library(base, shelf)
    assert found.names() == ["good"]
    shutil.copytree(shelf / "good", shelf / "newer")
    assert found.names() == ["good", "newer"]
    assert found.fingerprint("newer") == found.fingerprint("good")
    shutil.rmtree(shelf / "good")
    assert found.names() == ["newer"]


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
    found = AdapterLibrary([shelf], base.name, base.switch.shapes, base.lay_out, resident_bytes=1)
    first = found.get("good")
    assert found.get("good") is first
    found.get("other")
    assert found.get("good") is not first
