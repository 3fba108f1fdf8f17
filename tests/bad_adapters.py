"""Ways in which an adapter folder is bad: each breaks a good one and has the reason to be said."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS

Weights = dict[str, torch.Tensor]


def set_config(folder: Path, **values: object) -> None:
    file = folder / ADAPTER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def set_weights(folder: Path, change: Callable[[Weights], None]) -> None:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    change(weights)
    save_file(weights, folder / ADAPTER_WEIGHTS)


def widen(weights: Weights) -> None:
    key = next(key for key in weights if "lora_A" in key)
    weights[key] = torch.zeros(4, 99)


def thicken(weights: Weights) -> None:
    for key, value in weights.items():
        shape = (10_000, value.shape[1]) if "lora_A" in key else (value.shape[0], 10_000)
        weights[key] = torch.zeros(shape)


def rename(weights: Weights) -> None:
    for key in list(weights):
        weights[key.replace("layers.0", "layers.9")] = weights.pop(key)


def smuggle(weights: Weights) -> None:
    weights["base_model.model.lm_head.weight"] = torch.zeros(2, 2)


def poison(value: float) -> Callable[[Path], object]:
    def change(weights: Weights) -> None:
        list(weights.values())[-1][0, 0] = value

    return lambda folder: set_weights(folder, change)


class Trap:
    """Makes a file called `sprung` when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def trap(folder: Path, name: str) -> None:
    (folder / ADAPTER_WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(folder / "sprung")))


def link(folder: Path, name: str) -> None:
    outside = folder.parent.parent / f"outside-{name}"
    shutil.copy(folder / name, outside)
    (folder / name).unlink()
    (folder / name).symlink_to(outside)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "other base": (
        lambda f: set_config(f, base_model_name_or_path="org/other"),
        "trained on 'org/other'",
    ),
    "dora": (lambda f: set_config(f, use_dora=True), "use_dora, which this engine cannot serve"),
    "unknown key": (lambda f: set_config(f, evil="x"), "evil"),
    "template": (lambda f: set_config(f, chat_template="{{ x }}"), "uses chat_template"),
    "code": (lambda f: set_config(f, auto_map={"AutoModel": "evil.Evil"}), "uses auto_map"),
    "bias": (lambda f: set_config(f, bias="all"), "bias"),
    "not lora": (lambda f: set_config(f, peft_type="PROMPT_TUNING"), "does not describe a LoRA"),
    "no rank": (lambda f: set_config(f, r=None), "numbers r and lora_alpha"),
    "endless alpha": (lambda f: set_config(f, lora_alpha=float("nan")), "numbers r and lora_alpha"),
    "huge alpha": (lambda f: set_config(f, lora_alpha=10**400), "numbers r and lora_alpha"),
    "wrong alphas": (lambda f: set_config(f, alpha_pattern=["q_proj"]), "alpha_pattern"),
    "slow pattern": (
        lambda f: set_config(f, alpha_pattern={"((.|.)+)+[XY]": 1}),
        "alpha_pattern cannot be matched",
    ),
    "no pattern": (lambda f: set_config(f, alpha_pattern={"(": 1}), "cannot be matched"),
    "broken json": (lambda f: (f / ADAPTER_CONFIG).write_text("{"), "not JSON"),
    "deep json": (lambda f: (f / ADAPTER_CONFIG).write_text("[" * 500_000), "not JSON"),
    "deep record": (lambda f: (f / "run.json").write_text("[" * 500_000), "not JSON"),
    "huge json": (lambda f: (f / ADAPTER_CONFIG).write_text(" " * 2**21), "larger than 1 MiB"),
    "huge temperature": (
        lambda f: (f / "calibration.json").write_text('{"temperature": 1' + "0" * 400 + "}"),
        "holds no calibration",
    ),
    "pickle": (lambda f: trap(f, "adapter_model.bin"), "only safetensors are loaded"),
    "pickle by another name": (lambda f: trap(f, ADAPTER_WEIGHTS), "damaged"),
    "linked weights": (lambda f: link(f, ADAPTER_WEIGHTS), "is a link"),
    "linked config": (lambda f: link(f, ADAPTER_CONFIG), "is a link"),
    "damaged": (lambda f: (f / ADAPTER_WEIGHTS).write_bytes(b"\xff" * 64), "damaged"),
    "wrong shape": (lambda f: set_weights(f, widen), "has shapes"),
    "rank 10,000": (lambda f: set_weights(f, thicken), "rank 10000 is not between"),
    "not a number": (poison(float("nan")), "not finite"),
    "endless": (poison(float("inf")), "not finite"),
    "no such layer": (lambda f: set_weights(f, rename), "has no layer"),
    "foreign weight": (lambda f: set_weights(f, smuggle), "not a LoRA weight"),
    "bad id": (lambda f: f.rename(f.with_name("bad name!")), "not an adapter id"),
    "long id": (lambda f: f.rename(f.with_name("n" * 200)), "not an adapter id"),
}
