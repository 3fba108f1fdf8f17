"""What the command lines share: notes beside the output, and errors as one line."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from core.errors import PatchbayError, UnknownName
from core.paths import REPOSITORY

OURS = {folder.name for folder in REPOSITORY.iterdir()}  # a missing module of ours is a fault


def aside(line: str) -> None:
    """Say something on standard error; standard output holds results only."""
    print(line, file=sys.stderr, flush=True)


def run(app: typer.Typer, stopped: str = "") -> None:
    """Run a command line.

    An expected error, and a package that is not installed, is one line on standard error and exit
    code 1, or 2 for an unknown name.

    Args:
        app: the commands.
        stopped: what to say after Ctrl-C.
    """
    try:
        app()
    except (PatchbayError, OSError) as error:
        _end(f"error: {error}", 2 if isinstance(error, UnknownName) else 1)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in OURS:
            raise
        _end(
            f"error: the package {error.name!r} is not installed. Training and evaluation want "
            "more packages than the chat. In a clone: pip install -c constraints.txt "
            "-e '.[workshop]'; as a command: pipx install '.[workshop]'",
            1,
        )
    except KeyboardInterrupt:
        _end(stopped, 130)


def _end(line: str, code: int) -> NoReturn:
    if line:
        aside(line)
    sys.exit(code)
