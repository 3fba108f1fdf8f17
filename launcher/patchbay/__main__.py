"""Patchbay: the page with its API, the agent in a terminal, training, evaluation.

patchbay app
patchbay ask "Translate into French: The train is late."
patchbay finetune run sentiment-en data=reviews.csv
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

# Our modules are called `core`, `ui`, `tasks`. Installed, they stand in this package's folder, out
# of the way of others of those names, and this process alone looks there first. In a clone they
# stand beside `launcher`.
sys.path.insert(
    0, str(next(f for f in Path(__file__).resolve().parents if (f / "core" / "paths.py").is_file()))
)

import typer

from core import terminal

GROUPS = {
    "finetune": "Rows in, an adapter out.",
    "evaluation": "Adapter in, evidence out.",
    "workshop": "From answers to a better adapter.",
}


def command_line(word: str = "") -> typer.Typer:
    """The commands, with `python -m agent`'s among them.

    Args:
        word: the one that is wanted. Only its modules are imported: the page need not wait for
            those of a training, which also settle how threads wait. Without one, or with one that
            is not known, all are.
    """
    line = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
    line.callback()(lambda: None)
    known = word in {"app", *GROUPS}
    if not known:
        agent = importlib.import_module("agent.__main__").app
        line.add_typer(agent)
        known = word in typer.main.get_group(agent).commands
    if word == "app" or not known:
        line.command("app")(importlib.import_module("app").main)
    for name, about in GROUPS.items():
        if word == name or not known:
            line.add_typer(importlib.import_module(f"{name}.__main__").app, name=name, help=about)
    return line


def main() -> None:
    """Run what the command line asks for."""
    word = "".join(sys.argv[1:2])
    line = command_line(word)
    stopped = importlib.import_module(f"{word}.__main__").STOPPED if word in GROUPS else ""
    terminal.run(line, stopped)


if __name__ == "__main__":
    main()
