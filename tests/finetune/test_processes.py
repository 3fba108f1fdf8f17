"""Two processes train one adapter, each with the whole base (DDP) or with half of it (FSDP)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import SettingsError
from core.paths import REPOSITORY
from finetune import train
from finetune.recipe import Resolved

DDP, FSDP = ["--multi_gpu"], ["--use_fsdp", "--fsdp_version", "2"]
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


def said(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=LONG)[0]


def finished(process: subprocess.Popen[str], folder: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """The curve and the adapter of a run that ended well."""
    words = said(process)
    assert process.returncode == 0, words[-3000:]
    record = json.loads((folder / "run.json").read_text())
    assert record["processes"] == 2
    assert record["rows"] == record["steps"] * 8
    return json.loads((folder / "curve.json").read_text()), load_file(
        folder / "adapter_model.safetensors"
    )


def test_a_split_base_trains_and_resumes_to_the_adapter_of_a_whole_one(
    recipe_file: Path, home: Path
) -> None:
    shelf = home / "adapters"
    words = [str(recipe_file), "dtype=float32", "steps=30", "learning_rate=0.001"]
    words += ["patience=10", "checkpoint_minutes=0.000001"]
    curve, adapter = finished(start(DDP, *words, "name=whole"), shelf / "whole")

    running = start(FSDP, *words, "name=split")
    checkpoint, end = shelf / ".split.run" / "checkpoint.pt", time.monotonic() + LONG
    while not checkpoint.exists() and running.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    told = said(running)
    assert running.returncode != 0
    assert not (shelf / "split").exists()
    assert 0 < torch.load(checkpoint, weights_only=True)["state"]["step"] < 30, told[-3000:]

    split_curve, split = finished(start(FSDP, *words, "name=split", "--resume"), shelf / "split")
    assert split_curve["train"] == pytest.approx(curve["train"], rel=1e-3)
    for (step, loss), (known_step, known) in zip(
        split_curve["validation"], curve["validation"], strict=True
    ):
        assert step == known_step
        assert loss == pytest.approx(known, rel=1e-3)
    assert split.keys() == adapter.keys()
    for name, tensor in adapter.items():
        difference = (split[name].float() - tensor.float()).norm()
        assert difference <= 0.02 * tensor.float().norm(), name


def test_a_split_four_bit_base_learns(recipe_file: Path, home: Path) -> None:
    words = [str(recipe_file), "name=four", "quantization=nf4", "steps=12"]
    curve, _ = finished(start(FSDP, *words), home / "adapters" / "four")
    assert curve["train"][-1] < 0.7 * curve["train"][0]


@pytest.mark.parametrize(
    ("variable", "value", "instead"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "true", "--use_fsdp --fsdp_version 2"),
        ("FSDP_VERSION", "1", "Add --fsdp_version 2"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "gradient_checkpointing=true"),
    ],
)
def test_other_kinds_of_launch_say_what_to_use(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, instead: str
) -> None:
    monkeypatch.setenv(variable, value)  # as `accelerate launch` sets it
    with pytest.raises(SettingsError, match=instead):
        train.run(resolved)
