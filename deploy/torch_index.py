"""Which package index torch is taken from: PyTorch's CPU index where there is no NVIDIA driver.

    python deploy/torch_index.py           # chosen by the machine
    python deploy/torch_index.py cu130     # or cpu, pypi, the address of an index

Prints pip's option, or an empty line for the index that pip asks anyway, and says on standard error
what was chosen. Runs before anything is installed, so it imports Python's own library only.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
import urllib.request
from pathlib import Path

PYTORCH = "https://download.pytorch.org/whl/"
BUILD = re.compile(r"cpu|cu\d+|rocm[\d.]+|xpu")
DRIVER = (Path("/proc/driver/nvidia/version"), Path("/usr/lib/wsl/lib/nvidia-smi"))
SECONDS = 8.0  # for the index to answer
CPU_SIZE = "0.2 GB to fetch, 0.8 GB on disk"
CUDA_SIZE = "2.7 GB to fetch, 4.8 GB on disk"  # torch 2.13.0 with what it wants, x86-64
OTHERWISE = "Otherwise: `make clean`, then make with TORCH_INDEX=cpu, cu130, pypi or an address."


def option(choice: str = "auto", index: str = PYTORCH + "cpu") -> tuple[str, str]:
    """Choose.

    Args:
        choice: auto, pypi, a build's name on PyTorch's server like cu130, or an index's address.
        index: the CPU builds, for auto.

    Returns:
        what pip is to be given, and why, for a person.

    Raises:
        ValueError: the choice is none of these.
    """
    if choice != "auto":
        return asked_for(choice), f"from {choice}, as asked."
    if sys.platform != "linux":
        return "", "from pip's own index, which has no CUDA for this system."
    if has_driver():
        return "", f"with CUDA, as there is an NVIDIA driver: {CUDA_SIZE}. {OTHERWISE}"
    if why := unreachable(f"{index}/torch/"):
        return "", (
            f"there is no NVIDIA driver, but {index} cannot be reached ({why}), so it comes from "
            f"pip's own index. On PyPI that is the CUDA build: {CUDA_SIZE}. {OTHERWISE}"
        )
    return f"--extra-index-url {index}", (
        f"for the CPU, as there is no NVIDIA driver: {CPU_SIZE}. {OTHERWISE}"
    )


def asked_for(choice: str) -> str:
    """Pip's option for a choice by name.

    Raises:
        ValueError: it is none.
    """
    address = PYTORCH + choice if BUILD.fullmatch(choice) else choice
    if not re.fullmatch(r"pypi|https?://\S+", address):
        raise ValueError(
            f"TORCH_INDEX={choice} is no index of torch. Use auto, cpu, cu130, pypi or an address."
        )
    return "" if choice == "pypi" else f"--extra-index-url {address}"


def has_driver() -> bool:
    """Whether this machine, or the one around its container, has NVIDIA's driver."""
    return bool(shutil.which("nvidia-smi")) or any(file.exists() for file in DRIVER)


def unreachable(address: str, seconds: float = SECONDS) -> str:
    """Why an index cannot be asked; empty where it can.

    A time-out of the socket counts for each address that a name has, and not for the name to be
    looked up; this one counts for all together.
    """
    found = [f"no answer in {seconds:g} s"]

    def ask() -> None:
        try:
            with urllib.request.urlopen(address, timeout=seconds):
                found[0] = ""
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)  # urllib's own errors wrap another
            if isinstance(reason, TimeoutError):
                return  # both clocks run out at once
            found[0] = str(getattr(reason, "strerror", None) or reason)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return found[0]


def main() -> None:
    """Print the option, say why."""
    try:
        given, why = option(*sys.argv[1:2])
    except ValueError as error:
        sys.exit(str(error))
    print(f"torch, where it is not there yet: {why}", file=sys.stderr)
    print(given)


if __name__ == "__main__":
    main()
