"""Which adapter answers a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapter_store.promotions import Promotions
from engine.interface import Adapters
from tasks.spec import TaskSpec


def adapter_for(
    task: TaskSpec,
    slots: Mapping[str, Any],
    labels: Iterable[str],
    text: str,
    shelf: Adapters,
) -> str | None:
    """The first promoted adapter, or else default one, that fits the base and such a step.

    A promotion holds for the very weights that were judged.

    Args:
        slots: the step's slot values.
        labels: the labels its prompt shows; none for a `write` task.
        text: its content.
        shelf: what the engine can attach.

    Raises:
        InputError: the promotions file is damaged.
    """
    known = set(shelf.names())
    promoted = [
        entry.adapter
        for entry in Promotions().current(task.name)
        if entry.adapter in known and shelf.fingerprint(entry.adapter) == entry.fingerprint
    ]
    asked = {name: slot.default for name, slot in task.slots.items()} | dict(slots)
    shown = list(labels)
    fitting = (
        name
        for name in [*promoted, *task.adapters]
        if name in known and shelf.scope(name).covers(asked, shown, text)
    )
    return next(fitting, None)
