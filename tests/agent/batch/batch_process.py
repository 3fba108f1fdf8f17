"""`python -m agent` in a process that is forked with its imports made, for tests that kill it."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def run_command(home: Path, *arguments: str) -> None:
    """As a shell starts it, with `home` as the person's Patchbay folder."""
    os.environ["PATCHBAY_HOME"] = str(home)
    sys.argv = ["agent", *arguments]
    runpy.run_module("agent", run_name="__main__", alter_sys=True)
