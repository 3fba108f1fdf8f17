"""The adapters of a task: those that a training can go on from, and those that can be judged."""

from __future__ import annotations

from collections.abc import Collection

from adapter_store.discovery import finished_adapters
from adapter_store.promotions import PromotionEvent, Promotions
from adapter_store.run_record import read_run_record
from core.errors import UnknownName
from tasks.spec import TaskSpec


def in_place(task: TaskSpec, available: Collection[str], any_task: Collection[str]) -> str:
    """The adapter that answers for a task now, of those that the base can be patched with.

    The last promoted one, else the task's own choice, else one that answers for `any_task`; "" is
    the bare base.
    """
    promoted = [event.adapter for event in Promotions().current(task.name)]
    order = [*promoted, *task.adapters, *sorted(any_task)]
    return next((name for name in order if name in available), "")


def adapters_of(task: str) -> list[str]:
    """The finished adapters of a task, by name."""
    return by_task().get(task, [])


def by_task() -> dict[str, list[str]]:
    """Task -> its finished adapters, by name."""
    found: dict[str, list[str]] = {}
    for name, folder in finished_adapters().items():
        found.setdefault(read_run_record(folder).task_name, []).append(name)
    return found


def for_any_task() -> list[str]:
    """The finished adapters that answer for a task without one of its own."""
    found = finished_adapters()
    return [name for name, folder in found.items() if read_run_record(folder).scope.any_task]


def task_name(adapter: str) -> str:
    """The task that an adapter was trained for.

    Raises:
        UnknownName: there is no finished one of that name.
    """
    found = finished_adapters()
    if adapter not in found:
        raise UnknownName("adapter", adapter, found)
    return read_run_record(found[adapter]).task_name


def standing(task: str) -> PromotionEvent | None:
    """The task's last promotion that stands."""
    return next(iter(Promotions().current(task)), None)


def history() -> list[PromotionEvent]:
    """Everything that was promoted and rolled back, the latest first."""
    return list(Promotions().history())[::-1]


def rollback(task: str, by: str, only: str | None = None) -> str:
    """Take a task's trial or last promotion back; a running chat follows at once.

    Args:
        by: who does it.
        only: fingerprint of what is meant, where that is known.

    Returns:
        the adapter that is no longer in use.

    Raises:
        InputError: none stands, or another one than is meant.
    """
    return Promotions().rollback(task, by, only=only).adapter
