"""Which adapters the chat uses by default, or tries: on evidence, in a file that keeps history."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core import paths
from core.errors import InputError

PROMOTIONS = "promotions.json"
MOST_SHARE = 0.9  # of the conversations in a trial: the rest is what it is compared with


class PromotionEvent(BaseModel):
    """One promotion, one trial (A/B), or one rollback of the trial or the promotion that stood.

    Attributes:
        share: of the conversations that a trial's adapter answers, above 0 and below 1.
        fingerprint: of the adapter that was judged; another adapter of that name is not used.
        evidence: what it won by: figures, rows, data and the adapter it stands before; who did it
            and why (`by`, `why`), where it was said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["promote", "try", "rollback"]
    task: str
    adapter: str
    fingerprint: str
    at: str
    evidence: dict[str, Any] = {}
    share: float = Field(0, ge=0, le=MOST_SHARE)

    def tries(self, conversation: str) -> bool:
        """Whether the trial's adapter answers in a conversation: in the same one always."""
        drawn = hashlib.sha256(f"{self.at} {self.fingerprint} {conversation}".encode()).digest()
        return int.from_bytes(drawn[:8]) < self.share * 2**64


class Promotions:
    """The person's promotions file. Read anew when it changes, so that a running chat follows."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or paths.user_dir() / PROMOTIONS

    def current(self, task: str) -> list[PromotionEvent]:
        """The task's promotions that stand, the latest first.

        Raises:
            InputError: the file is damaged.
        """
        return self.standing(task)[0]

    def trial(self, task: str) -> PromotionEvent | None:
        """The task's trial that stands: no later promotion or rollback. Raises as `current`."""
        return self.standing(task)[1]

    def standing(self, task: str) -> tuple[list[PromotionEvent], PromotionEvent | None]:
        """Both of these, as they were at one moment. Raises as `current`."""
        return _standing(self.history(), task)

    def history(self) -> Sequence[PromotionEvent]:
        """Everything that was done, oldest first. Raises as `current`."""
        try:
            now = self.file.stat()
            return _read(self.file, (now.st_mtime_ns, now.st_ino, now.st_size))
        except FileNotFoundError:
            return ()

    def promote(
        self, task: str, adapter: str, fingerprint: str, evidence: dict[str, Any], share: float = 0
    ) -> PromotionEvent:
        """Let the chat use the adapter for the task, before those that it used until now.

        Args:
            share: use it in so many of the conversations, as a trial; 0 in all of them.
        """
        event = PromotionEvent(
            action="try" if share else "promote",
            share=share,
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
        """Undo the task's trial or, where none stands, its last promotion that does.

        Args:
            by, why: who does it and what for; kept with it.
            only: fingerprint that it must have, so that of two who see the same fault one undoes
                it. A promotion's ends the trial beside it, too.

        Returns:
            the trial or promotion that no longer stands.

        Raises:
            InputError: there is none, or another one than `only`.
        """
        said = {name: text for name, text in {"by": by, "why": why}.items() if text}
        with self._locked() as recorded:
            standing, trial = _standing(recorded, task)
            found = [one for one in [trial, *standing[:1]] if one]
            if not found:
                raise InputError(f"No promotion of {task!r} stands: there is nothing to roll back.")
            meant = [one for one in found if only in {None, one.fingerprint}]
            if not meant:
                last = found[-1]
                raise InputError(
                    f"{last.adapter} ({last.fingerprint}) is promoted for {task!r} by now, not "
                    f"{only}: nothing was rolled back."
                )
            undone = {"action": "rollback", "at": _now(), "evidence": said, "share": 0}
            self._write([*recorded, meant[0].model_copy(update=undone)])
        return meant[0]

    def adapters(self) -> list[str]:
        """The adapters of all promotions that stand, sorted. Raises as `current`."""
        return sorted({event.adapter for task in self._tasks() for event in self.current(task)})

    def trials(self) -> list[PromotionEvent]:
        """All trials that stand, by task. Raises as `current`."""
        return [trial for task in self._tasks() if (trial := self.trial(task))]

    def _tasks(self) -> list[str]:
        return sorted({event.task for event in self.history()})

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


def _standing(
    history: Sequence[PromotionEvent], task: str
) -> tuple[list[PromotionEvent], PromotionEvent | None]:
    """The task's promotions that stand, the latest first, and its trial."""
    standing: list[PromotionEvent] = []
    trial: PromotionEvent | None = None
    for event in history:
        if event.task != task:
            continue
        if event.action == "promote":
            standing.append(event)
        elif event.action == "rollback" and (
            trial is None or event.fingerprint != trial.fingerprint
        ):
            standing = standing[:-1]
        trial = event if event.action == "try" else None
    return standing[::-1], trial


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
