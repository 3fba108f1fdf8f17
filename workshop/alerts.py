"""What the watch has to say: alerts, one class for each kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriftAlert:
    """Requests to a task are not what they were.

    Attributes:
        at: UTC, ISO 8601.
        task, adapter, fingerprint: what answers; the bare base has no adapter and no fingerprint.
        feature: what has another distribution, one of `workshop.usage.FEATURES`.
        distance: largest distance of the two cumulative distributions, 0 to 1.
        bound: what it may be by chance.
        requests: the latest ones that were looked at.
        answers: of the task and adapter so far, those of the reference left out.
    """

    at: str
    task: str
    adapter: str
    fingerprint: str
    feature: str
    distance: float
    bound: float
    requests: int
    answers: int


@dataclass(frozen=True)
class AccuracyAlert:
    """A promoted adapter is right less often than what it replaced was, as far as can be told.

    Attributes:
        at, task, adapter, fingerprint: as in `DriftAlert`.
        estimate, low, high: its accuracy on the latest requests; see `workshop.accuracy`.
        bound: accuracy of what it replaced, on the rows of its gate.
        requests: the latest ones that were looked at.
        rolled_back: whether the promotion was undone.
    """

    at: str
    task: str
    adapter: str
    fingerprint: str
    estimate: float
    low: float
    high: float
    bound: float
    requests: int
    rolled_back: bool = False


Alert = DriftAlert | AccuracyAlert
KINDS: dict[str, type[DriftAlert] | type[AccuracyAlert]] = {
    "drift": DriftAlert,
    "accuracy": AccuracyAlert,
}


def kind_of(alert: Alert) -> str:
    """`drift` or `accuracy`."""
    return next(name for name, made in KINDS.items() if isinstance(alert, made))


def alert_sentence(alert: Alert) -> str:
    """An alert in English, for a terminal or a log."""
    who = alert.adapter or "the base"
    if isinstance(alert, DriftAlert):
        return (
            f"{alert.at}: {alert.feature} of the last {alert.requests} answers of {who} in "
            f"{alert.task} is not what it was (distance {alert.distance:.2f}, by chance up to "
            f"{alert.bound:.2f})."
        )
    undone = " The promotion was undone." if alert.rolled_back else ""
    return (
        f"{alert.at}: the accuracy of {who} in {alert.task} is estimated at {alert.estimate:.3f} "
        f"[{alert.low:.3f}, {alert.high:.3f}], and {alert.bound:.3f} was replaced.{undone}"
    )
