"""Two processes train one adapter, each with the whole base or with half of it."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from core.errors import SettingsError
from core.paths import REPOSITORY
from engine.adapters import library_of
from engine.load_base import load_base
from finetune import deepspeed_zero, train
from finetune.recipe import ResolvedRecipe, load_recipe

DDP, FSDP = ["--multi_gpu"], ["--use_fsdp", "--fsdp_version", "2"]
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason="DeepSpeed is not installed: the extra `deepspeed`",
)
LONG = 600  # seconds for two processes to start on a busy machine


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def start(launch: list[str], *words: str) -> subprocess.Popen[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", port, *launch, "-m", "finetune", "run", *words]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=LONG)[0]


def result(folder: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """The curve and the adapter of a run."""
    return json.loads((folder / "curve.json").read_text()), load_file(
        folder / "adapter_model.safetensors"
    )


def finished(
    process: subprocess.Popen[str], folder: Path, rows: int = 8
) -> tuple[dict, dict[str, torch.Tensor]]:
    """The same of a run that ended well, with so many rows a step."""
    words = output_of(process)
    assert process.returncode == 0, words[-3000:]
    record = json.loads((folder / "run.json").read_text())
    assert record["processes"] == 2
    assert record["rows"] == record["steps"] * rows
    return result(folder)


def stopped(process: subprocess.Popen[str], folder: Path) -> None:
    """Tell a run to stop after its first checkpoint."""
    checkpoint, end = folder.parent / f".{folder.name}.run/checkpoint.pt", time.monotonic() + LONG
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output = output_of(process)
    assert process.returncode != 0
    assert not folder.exists()
    assert 0 < torch.load(checkpoint, weights_only=True)["state"]["step"] < 30, output[-3000:]


def assert_alike(
    one: tuple[dict, dict[str, torch.Tensor]], other: tuple[dict, dict[str, torch.Tensor]]
) -> None:
    (curve, adapter), (expected_curve, expected) = one, other
    assert curve["train"] == pytest.approx(expected_curve["train"], rel=1e-3)
    for (step, loss), (expected_step, expected_loss) in zip(
        curve["validation"], expected_curve["validation"], strict=True
    ):
        assert step == expected_step
        assert loss == pytest.approx(expected_loss, rel=1e-3)
    assert adapter.keys() == expected.keys()
    for name, tensor in expected.items():
        difference = (adapter[name].float() - tensor.float()).norm()
        assert difference <= 0.02 * tensor.float().norm(), name


@pytest.mark.slow
def test_a_split_base_trains_and_resumes_to_the_adapter_of_a_whole_one(
    recipe_file: Path, home: Path
) -> None:
    shelf = home / "adapters"
    words = [str(recipe_file), "dtype=float32", "steps=30", "learning_rate=0.001"]
    words += ["patience=10", "checkpoint_minutes=0.000001"]
    whole = finished(start(DDP, *words, "name=whole"), shelf / "whole")
    stopped(start(FSDP, *words, "name=split"), shelf / "split")
    split = finished(start(FSDP, *words, "name=split", "--resume"), shelf / "split")
    assert_alike(split, whole)


def zero_stage(stage: int, tmp_path: Path) -> list[str]:
    """A launch with DeepSpeed; even the tiny base's weights are split at stage 3."""
    file = tmp_path / f"zero{stage}.json"
    config = {"stage": stage, "stage3_param_persistence_threshold": 0}
    file.write_text(json.dumps({"zero_optimization": config}))
    return ["--use_deepspeed", "--deepspeed_config_file", str(file)]


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize(("stage", "later"), [(2, 3), (3, 2)])
def test_deepspeed_trains_and_resumes_to_the_adapter_of_one_process_with_a_double_batch(
    stage: int, later: int, recipe_file: Path, teachable_folder: Path, home: Path, tmp_path: Path
) -> None:
    shelf = home / "adapters"
    # All 32 rows in every step; and so small a gradient that Adam's epsilon tells how small it is.
    words = ["dtype=float32", "steps=30", "learning_rate=0.001", "patience=10", "clip=0.000001"]
    one = train.run(load_recipe(str(recipe_file), [*words, "name=one", "batch=32"]))
    unclipped = train.run(
        load_recipe(str(recipe_file), [*words, "name=free", "batch=32", "clip=1"])
    )
    words = [str(recipe_file), *words, "name=two", "batch=16", "checkpoint_minutes=0.000001"]
    stopped(start(zero_stage(stage, tmp_path), *words), shelf / "two")
    running = start(zero_stage(later, tmp_path), *words, "--resume")
    two = finished(running, shelf / "two", 32)
    assert_alike(two, result(one))
    with pytest.raises(AssertionError):
        assert_alike(two, result(unclipped))
    base = load_base(tiny.settings(teachable_folder))
    served = library_of(base, [shelf])
    assert "two" in served.names()


@pytest.mark.parametrize(
    ("change", "accumulated", "instead"),
    [
        ({"zero_optimization": {"stage": 1}}, 1, "--zero_stage 2"),
        (
            {"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}},
            1,
            "offload_param_device to none",
        ),
        ({"bf16": {"enabled": True}}, 1, "mixed_precision to no"),
        ({}, 4, "gradient_accumulation_steps to 1"),
        ({"optimizer": {"type": "AdamW"}}, 1, "Take optimizer and scheduler out"),
    ],
)
def test_what_a_recipe_decides_is_refused_in_deepspeeds_configuration(
    change: dict, accumulated: int, instead: str
) -> None:
    off = {"enabled": False}
    config = {"zero_optimization": {"stage": 2}, "bf16": off, "fp16": off}
    deepspeed_zero.check(config, 1)
    with pytest.raises(SettingsError, match=instead):
        deepspeed_zero.check(config | change, accumulated)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fsdp", pytest.param("zero", marks=needs_deepspeed)])
def test_a_split_four_bit_base_learns(
    kind: str, recipe_file: Path, home: Path, tmp_path: Path
) -> None:
    words = [str(recipe_file), "name=four", "quantization=nf4", "steps=12"]
    launch = FSDP if kind == "fsdp" else zero_stage(3, tmp_path)
    curve, _ = finished(start(launch, *words), home / "adapters" / "four")
    assert curve["train"][-1] < 0.7 * curve["train"][0]


@pytest.mark.parametrize(
    ("variable", "value", "instead"),
    [
        ("ACCELERATE_USE_MEGATRON_LM", "true", "--use_fsdp --fsdp_version 2"),
        ("FSDP_VERSION", "1", "Add --fsdp_version 2"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "gradient_checkpointing=true"),
    ],
)
def test_other_kinds_of_launch_say_what_to_use(
    resolved: ResolvedRecipe,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    instead: str,
) -> None:
    monkeypatch.setenv(variable, value)  # as `accelerate launch` sets it
    with pytest.raises(SettingsError, match=instead):
        train.run(resolved)
