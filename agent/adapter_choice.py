"""Which adapter answers a step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import chain

from adapter_store.promotions import Promotions
from engine.interface import Adapters
from tasks.spec import SlotValue, TaskSpec


def choose_adapter(
    task: TaskSpec,
    adapters: Adapters,
    *,
    slots: Mapping[str, SlotValue],
    labels: Iterable[str],
    text: str,
    conversation: str = "",
    allowed: Collection[str] | None = None,
) -> str | None:
    """The first promoted adapter, or else default one, that fits the base and such a step.

    Before these comes one on trial, in its share of the conversations.

    Where the task has none, one that was trained to answer for any task does. A promotion holds for
    the very weights that were judged.

    Args:
        adapters: what the engine can attach.
        slots: the step's slot values.
        labels: the labels its prompt shows; none for a `write` task.
        text: its content.
        conversation: tells conversations apart; nothing is tried where it is empty.
        allowed: adapters that may be tried; None is all of them.

    Raises:
        InputError: the promotions file is damaged.
    """
    available = set(adapters.names())
    standing, trial = Promotions().standing(task.name)
    if trial and conversation and (allowed is None or trial.adapter in allowed):
        standing = [*([trial] if trial.tries(conversation) else []), *standing]
    promoted = [
        entry.adapter
        for entry in standing
        if entry.adapter in available and adapters.fingerprint(entry.adapter) == entry.fingerprint
    ]
    filled = task.filled(slots)
    offered = list(labels)
    fitting = (
        name
        for name in [*promoted, *task.adapters]
        if name in available and adapters.scope(name).covers(filled, offered, text)
    )
    any_task = (name for name in sorted(available) if adapters.scope(name).any_task)
    return next(chain(fitting, any_task), None)
