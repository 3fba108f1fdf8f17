"""The watch over what is answered: drift, accuracy without labels, alerts, rollback by itself."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from adapter_store.promotions import PromotionEvent, Promotions
from agent.feedback.store import Feedback
from workshop import accuracy, drift
from workshop.accuracy import AccuracyEstimate, Gap
from workshop.alerts import AccuracyAlert, Alert, DriftAlert, alert_sentence
from workshop.drift import Drift
from workshop.text_numbers import text_numbers
from workshop.usage import FEATURES, DaySums, Stream, UsageLine, UsageStore

log = logging.getLogger(__name__)

EVERY = 25  # answers of one answerer between two looks
BY = "the watch"  # who rolls back


class Reviewed(Protocol):
    """A reviewed row, as `workshop.rows` has it."""

    @property
    def answer(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def right(self) -> str: ...  # noqa: D102
    @property
    def held_out(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True)
class Watched:
    """One answerer of one task.

    Attributes:
        reference: what its requests are compared with, in so many numbers.
        drift: each feature that has numbers enough.
        accuracy: of its latest answers; None where it chooses no labels or has too few.
        bound: accuracy of what it replaced, if it was promoted.
    """

    stream: Stream
    reference: int
    drift: tuple[Drift, ...]
    accuracy: AccuracyEstimate | None
    bound: float | None


@dataclass(frozen=True)
class Ratings:
    """Likes and dislikes of a day, by the fingerprint of the adapter that answered last."""

    day: str
    task: str
    fingerprint: str
    liked: int
    disliked: int


@dataclass(frozen=True)
class Summary:
    """What a page shows of the watch.

    Attributes:
        alerts: id -> alert, those that are open.
    """

    days: tuple[DaySums, ...]
    ratings: tuple[Ratings, ...]
    watched: tuple[Watched, ...]
    alerts: Mapping[int, Alert]


class Watcher:
    """Looks at what was answered every `EVERY` answers, and says what has changed.

    Args:
        store: the lines.
        roll_back: whether to undo a promotion by itself.
        reviewed: the reviewed rows of a task.
        feedback: where ratings are.
        promotions: the chat's.
    """

    def __init__(
        self,
        store: UsageStore,
        *,
        roll_back: bool = False,
        reviewed: Callable[[str], Iterable[Reviewed]] = lambda task: (),
        feedback: Feedback | None = None,
        promotions: Promotions | None = None,
    ) -> None:
        self.store, self.roll_back = store, roll_back
        self._reviewed, self._feedback = reviewed, feedback or Feedback()
        self._promotions = promotions or Promotions()
        self._since: Counter[tuple[str, str]] = Counter()

    def after(self, lines: Iterable[UsageLine]) -> None:
        """Count new lines, and look where it is time."""
        for line in lines:
            key = (line.task, line.fingerprint)
            self._since[key] += 1
            if self._since[key] >= EVERY:
                self._since[key] = 0
                self.look(*key)

    def look(self, task: str, fingerprint: str) -> list[Alert]:
        """Look at one answerer of one task now.

        Returns:
            the alerts that are new; they are kept until they are settled.

        Raises:
            UsageError: the file of usage cannot be read or written.
            InputError: the promotions file is damaged.
        """
        number = self.store.next_look(task, fingerprint)
        stream = self.store.stream(task, fingerprint)
        if stream is None:
            return []
        known = [one for one in self.store.alerts().values() if _of(one) == (task, fingerprint)]
        told = {one.feature for one in known if isinstance(one, DriftAlert)}
        alerts: list[Alert] = [
            _drift_alert(stream, found)
            for found in self._drift(stream, number)
            if found.found and found.feature not in told
        ]
        if not any(isinstance(one, AccuracyAlert) for one in known):
            alerts += self._too_low(stream, number)
        for alert in alerts:
            self.store.warn(alert)
            log.warning("%s", alert_sentence(alert))
        return alerts

    def summary(self, since: str = "") -> Summary:
        """What there is to show; looking at it spends nothing. Raises as `look`.

        Args:
            since: the first day that is wanted, like 2026-11-27.
        """
        return Summary(
            tuple(self.store.days(since)),
            tuple(self._ratings(since)),
            tuple(self._watched(stream) for stream in self.store.streams()),
            self.store.alerts(),
        )

    def learn_reference(self, task: str, fingerprint: str, texts: Iterable[str]) -> None:
        """Take the texts that an adapter was trained on as what its requests should be like."""
        numbers = [text_numbers(text) for text in texts]
        if numbers:
            by_feature = {name: [row[name] for row in numbers] for name in numbers[0]}
            self.store.set_reference(task, fingerprint, by_feature)

    def _watched(self, stream: Stream) -> Watched:
        number = max(1, stream.looks)
        return Watched(
            stream,
            max((len(self._reference(stream, name)[0]) for name in FEATURES), default=0),
            tuple(self._drift(stream, number)),
            self._estimate(stream, number),
            _bound(self._promoted(stream)),
        )

    def _drift(self, stream: Stream, number: int) -> Iterator[Drift]:
        tests = len(FEATURES) * len(drift.WINDOWS)
        for feature in FEATURES:
            known, after = self._reference(stream, feature)
            latest = self.store.latest(stream, feature, drift.WINDOWS[-1], after)
            found = drift.look(feature, np.sort(known), latest, number, tests)
            if found:
                yield found

    def _reference(self, stream: Stream, feature: str) -> tuple[list[float], int]:
        """The reference that was given, or the first answers and the number of their last line."""
        given = self.store.reference(stream.task, stream.fingerprint).get(feature)
        if given:
            return given, stream.begin
        first, last = self.store.first(stream, feature, drift.REFERENCE)
        return (first, last) if len(first) == drift.REFERENCE else ([], last)

    def _estimate(self, stream: Stream, number: int) -> AccuracyEstimate | None:
        if not stream.chooses:
            return None
        gap, source = self._gap(stream)
        latest = self.store.latest(stream, "confidence", accuracy.WINDOW)
        return accuracy.estimate(latest, gap, source, number)

    def _gap(self, stream: Stream) -> tuple[Gap | None, accuracy.Source]:
        """From reviewed rows that were drawn at random, else from those of its judging."""
        rows = [
            row
            for row in self._reviewed(stream.task)
            if row.held_out and row.fingerprint == stream.fingerprint and row.answer in row.labels
        ]
        if len(rows) >= accuracy.LEAST_REVIEWED:
            stated = [row.labels[row.answer] for row in rows]
            return Gap.of(stated, [row.answer == row.right for row in rows]), "reviewed rows"
        promoted = self._promoted(stream)
        judged = promoted.evidence.get("watch") if promoted else None
        if judged:
            return Gap(judged["rows"], judged["gap"], judged["deviation"]), "judged rows"
        return None, "confidence alone"

    def _promoted(self, stream: Stream) -> PromotionEvent | None:
        """Its promotion, if it is the latest that stands."""
        standing = self._promotions.current(stream.task)
        if standing and standing[0].fingerprint == stream.fingerprint:
            return standing[0]
        return None

    def _too_low(self, stream: Stream, number: int) -> Iterator[AccuracyAlert]:
        promoted = self._promoted(stream)
        bound, found = _bound(promoted), self._estimate(stream, number)
        if promoted is None or bound is None or found is None or found.answers < accuracy.WINDOW:
            return
        if found.high >= bound:
            return
        alert = AccuracyAlert(
            _now(), stream.task, promoted.adapter, stream.fingerprint,
            found.value, found.low, found.high, bound, found.answers,
        )  # fmt: skip
        if self.roll_back:
            why = (
                f"its accuracy is estimated at {found.value:.3f} [{found.low:.3f}, "
                f"{found.high:.3f}], and {bound:.3f} was replaced"
            )
            self._promotions.rollback(stream.task, BY, why, only=stream.fingerprint)
            alert = replace(alert, rolled_back=True)
        yield alert

    def _ratings(self, since: str) -> list[Ratings]:
        liked: Counter[tuple[str, str, str]] = Counter()
        disliked: Counter[tuple[str, str, str]] = Counter()
        for row in self._feedback.export()["ratings"]:
            task = row["tasks"][-1] if row["tasks"] else ""
            key = (row["at"][:10], task, row["fingerprints"].get("adapter", ""))
            if row["at"] >= since:
                (liked if row["rating"] > 0 else disliked)[key] += 1
        keys = sorted({*liked, *disliked}, reverse=True)
        return [Ratings(*key, liked[key], disliked[key]) for key in keys]


def _of(alert: Alert) -> tuple[str, str]:
    return alert.task, alert.fingerprint


def _drift_alert(stream: Stream, found: Drift) -> DriftAlert:
    return DriftAlert(
        _now(), stream.task, stream.adapter, stream.fingerprint,
        found.feature, found.distance, found.bound, found.window, stream.answers,
    )  # fmt: skip


def _bound(promoted: PromotionEvent | None) -> float | None:
    """The accuracy that a promoted adapter must not fall under."""
    judged = promoted.evidence.get("watch") if promoted else None
    return float(judged["bound"]) if judged else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
