"""Compiled functions: machine code is kept, and made anew when any of its files changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import engine.kernels

SCRIPT = """
import numpy as np
from engine.kernels import layout, products

weight = layout.tiled(np.ones((16, 32), np.int8))
y = np.empty(1, np.float32)
products.log_sum_exp(weight, np.ones(16, np.float32), np.ones((1, 32), np.float32), 16, y)
print(float(y[0]))
"""


def test_a_change_of_another_file_makes_the_machine_code_anew(tmp_path: Path) -> None:
    here = Path(engine.kernels.__file__).parent
    folder = tmp_path / "engine" / "kernels"
    shutil.copytree(here, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def result() -> float:
        command = [sys.executable, "-c", SCRIPT]
        return float(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)

    def kept() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in folder.rglob("*.nb?")}

    first, files = result(), kept()
    assert first > 32
    assert any("log_sum_exp" in name for name in files)
    assert result() == first
    assert kept() == files, "nothing was compiled again"
    sums = folder / "sums.py"
    code = sums.read_text()
    changed = code.replace("        total += scores[t]\n", "        total += scores[t] * 8\n")
    assert changed != code
    sums.write_text(changed)
    assert result() > first + 1, "exp_sum is another now"
