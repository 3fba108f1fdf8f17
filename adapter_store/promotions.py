"""Which adapters the chat uses by default: promoted on evidence, in a file that keeps history."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from core import paths
from core.errors import InputError

PROMOTIONS = "promotions.json"


class PromotionEvent(BaseModel):
    """One promotion, or one rollback of the last promotion that stood.

    Attributes:
        fingerprint: of the adapter that was judged; another adapter of that name is not used.
        evidence: what it won by: figures, rows, data and the adapter it stands before; who did it
            and why (`by`, `why`), where it was said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["promote", "rollback"]
    task: str
    adapter: str
    fingerprint: str
    at: str
    evidence: dict[str, Any] = {}


class Promotions:
    """The person's promotions file. Read anew when it changes, so that a running chat follows."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / PROMOTIONS

    def current(self, task: str) -> list[PromotionEvent]:
        """The task's promotions that stand, the latest first.

        Raises:
            InputError: the file is damaged.
        """
        return _standing(self.history(), task)

    def history(self) -> Sequence[PromotionEvent]:
        """Everything that was done, oldest first. Raises as `current`."""
        try:
            now = self.file.stat()
            return _read(self.file, (now.st_mtime_ns, now.st_ino, now.st_size))
        except FileNotFoundError:
            return ()

    def promote(
        self, task: str, adapter: str, fingerprint: str, evidence: dict[str, Any]
    ) -> PromotionEvent:
        """Let the chat use the adapter for the task, before those that it used until now."""
        event = PromotionEvent(
            action="promote",
            task=task,
            adapter=adapter,
            fingerprint=fingerprint,
            at=_now(),
            evidence=evidence,
        )
        with self._locked() as recorded:
            self._write([*recorded, event])
        return event

    def rollback(
        self, task: str, by: str = "", why: str = "", only: str | None = None
    ) -> PromotionEvent:
        """Undo the task's last promotion that stands.

        Args:
            by, why: who does it and what for; kept with it.
            only: fingerprint that the promotion must have, so that of two who see the same fault
                one undoes it.

        Returns:
            the promotion that no longer stands.

        Raises:
            InputError: there is none, or another one than `only`.
        """
        said = {name: text for name, text in {"by": by, "why": why}.items() if text}
        with self._locked() as recorded:
            standing = _standing(recorded, task)
            if not standing:
                raise InputError(f"No promotion of {task!r} stands: there is nothing to roll back.")
            last = standing[0]
            if only not in {None, last.fingerprint}:
                raise InputError(
                    f"{last.adapter} ({last.fingerprint}) is promoted for {task!r} by now, not "
                    f"{only}: nothing was rolled back."
                )
            undone = {"action": "rollback", "at": _now(), "evidence": said}
            self._write([*recorded, last.model_copy(update=undone)])
        return last

    def adapters(self) -> list[str]:
        """The adapters of all promotions that stand, sorted. Raises as `current`."""
        tasks = {event.task for event in self.history()}
        return sorted({event.adapter for task in tasks for event in self.current(task)})

    def restore(self, history: Sequence[PromotionEvent]) -> None:
        """Put a history that was kept elsewhere before what is only here. Raises as `current`."""
        with self._locked() as recorded:
            self._write([*history, *(event for event in recorded if event not in history)])

    @contextmanager
    def _locked(self) -> Iterator[Sequence[PromotionEvent]]:
        """The history, while nobody else writes."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_suffix(".lock")):
            yield self.history()

    def _write(self, events: Sequence[PromotionEvent]) -> None:
        text = json.dumps([one.model_dump() for one in events], indent=1, ensure_ascii=False)
        temporary = self.file.with_suffix(".writing")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, self.file)


def _standing(history: Sequence[PromotionEvent], task: str) -> list[PromotionEvent]:
    """The task's promotions that stand, the latest first."""
    standing: list[PromotionEvent] = []
    for event in history:
        if event.task != task:
            continue
        if event.action == "promote":
            standing.append(event)
        elif standing:
            standing.pop()
    return standing[::-1]


@lru_cache(maxsize=8)
def _read(file: Path, state: tuple[int, ...]) -> tuple[PromotionEvent, ...]:
    """`state` changes with the file: a clock's tick alone is too coarse for two quick changes."""
    try:
        return tuple(
            PromotionEvent(**event) for event in json.loads(file.read_text(encoding="utf-8"))
        )
    except (ValueError, TypeError, ValidationError) as error:
        raise InputError(
            f"{file} is damaged ({str(error).splitlines()[0]}). Mend or delete it: without it the "
            "chat uses the adapters that the tasks name."
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
