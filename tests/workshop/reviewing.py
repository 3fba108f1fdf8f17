"""Rows for the tests of the workshop, and a process that reviews until it is killed.

python tests/workshop/reviewing.py FILE NAME
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

from workshop.rows import ReviewRow, ReviewStore


def row(id: str, text: str = "The soup was cold.", **fields: Any) -> ReviewRow:
    """A disliked answer of the sentiment task, consented to."""
    values = {"task": "sentiment", "why": "disliked", "consent": True, "suggested": "negative"}
    return ReviewRow(id=id, text=text, **values | fields)


def main(file: Path, name: str) -> None:
    """Add, accept and undo without end, each said once its call has returned."""
    store = ReviewStore(file)
    for number in count():
        id = f"{name}-{number}"
        store.add([row(id, rater=name), row(f"{id}-beside", rater=name)])
        print("added", id, flush=True)
        store.decide(id, f"negative {number}", by=name)
        print("decided", id, flush=True)
        if number % 5 == 4:
            store.undo(by=name)
            print("undone", id, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
