"""Turns every finished step of a turn into a line of numbers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from agent.events import Event, Planned, StepFinished, StepStarted
from agent.turn_record import StepRecord, TurnRecord
from core.errors import PatchbayError
from tasks import languages
from workshop.text_numbers import text_numbers
from workshop.usage import UsageLine, UsageStore

log = logging.getLogger(__name__)


class Recorder:
    """Reads the events of every turn as they pass, see `Agent.watch`.

    Lines are written and looked at by a thread of its own, so that no request waits for a slow
    disk, a locked file or a look. The process ends when they are written.

    Args:
        store: where the lines go.
        after: what is done about new lines, when they are written.
    """

    def __init__(self, store: UsageStore, after: Callable[[list[UsageLine]], None]) -> None:
        self._store, self._after = store, after
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._lock, self._unwritten = threading.Lock(), list[UsageLine]()

    def watch(self, turn: Iterator[Event]) -> Iterator[Event]:
        """The same events. A failure to write lines is logged and harms no turn."""
        record = TurnRecord()
        try:
            for event in turn:
                if isinstance(event, Planned | StepStarted | StepFinished):
                    record.apply(event)
                yield event
        finally:
            if lines := usage_lines(record):
                with self._lock:
                    self._unwritten += lines
                self._writer.submit(self._write)

    def _write(self) -> None:
        """Write all lines that came while the ones before were written."""
        with self._lock:
            lines, self._unwritten = self._unwritten, []
        if not lines:
            return
        try:
            self._store.add(lines)
            self._after(lines)
        except Exception as error:  # nobody waits for what it raises
            known = isinstance(error, PatchbayError)
            log.warning("%s", error, exc_info=None if known else error)


def usage_lines(record: TurnRecord) -> list[UsageLine]:
    """A line for each finished step of a turn; none for one without a task."""
    before, lines = "", []
    routed = record.plan is not None and record.plan.reason == "router"
    for step in record.steps:
        if step.result and step.step.task:
            text = before if step.step.text is None else step.step.text
            lines.append(_line(step, step.result, text, step.step.confidence if routed else None))
            before = step.result.text
    return lines


def _line(step: StepRecord, result: StepFinished, text: str, route: float | None) -> UsageLine:
    return UsageLine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=step.step.task,
        language=languages.detect(text),
        adapter=step.adapter or "",
        fingerprint=result.fingerprints.get("adapter", ""),
        choice=bool(result.labels),
        route=route,
        confidence=result.probability,
        prompt_tokens=result.prompt_tokens,
        tokens=result.tokens,
        first_token=result.first_token,
        seconds=result.seconds,
        **text_numbers(text),
    )
