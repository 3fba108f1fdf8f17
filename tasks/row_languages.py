"""The languages of rows whose file does not name them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks import languages
from tasks.rows import Row
from tasks.spec import TaskSpec

GUESSED_ROWS = 200  # whose texts together tell the language of a column


def language_slots(task: TaskSpec) -> list[str]:
    """The slots of a task that hold ISO 639-1 codes."""
    return [name for name, slot in task.slots.items() if slot.type == "language"]


def guessed(task: TaskSpec, rows: Sequence[Row]) -> dict[str, str]:
    """The language that all texts together look like, and all answers, by their slots."""
    some = rows[:GUESSED_ROWS]
    sides = {
        task.source_slot: [row.text for row in some],
        task.target_slot: [row.answer for row in some],
    }
    return {
        slot: languages.detect("\n".join(own), among=languages.codes())
        for slot, own in sides.items()
        if slot
    }
