"""A trial (A/B): an adapter answers a share of the conversations until the ratings decide.

A conversation keeps its adapter, see `PromotionEvent.tries`. The first rating of the one is held
against the first of the other, the second against the second: differences of likes, of which the
gate's own test says whether their mean is above 0, however often one looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapter_store.promotions import PromotionEvent, Promotions
from agent.feedback.store import Feedback, Rating
from core import sequential
from core.sequential import Evidence

ALPHA = 0.05  # of the trial, over all looks, as the gate's
LEAST = 10  # ratings of each from which it is said how many more decide
LEAST_GAIN = 0.05  # of the share of likes: less is not worth waiting for


@dataclass(frozen=True)
class Side:
    """What was said of one adapter's answers."""

    adapter: str
    liked: int
    rated: int


@dataclass(frozen=True)
class Trial:
    """A trial that stands, and what the ratings say so far."""

    event: PromotionEvent
    new: Side
    old: Side
    evidence: Evidence

    @property
    def more_ratings(self) -> int:
        """About how many more of each decide; 0 where it is decided, or cannot be foreseen yet."""
        known = self.evidence.rows >= LEAST and self.evidence.more_rows < sequential.MOST_ROWS
        return self.evidence.more_rows if known else 0


def trials(feedback: Feedback) -> list[Trial]:
    """Those that stand, by task.

    Raises:
        InputError: the promotions file is damaged.
        FeedbackError: the ratings cannot be read.
    """
    standing = Promotions().trials()
    ratings = feedback.ratings() if standing else []
    return [trial_of(event, ratings) for event in standing]


def trial_of(event: PromotionEvent, ratings: Sequence[Rating]) -> Trial:
    """What ratings say of a trial, those that were given since it began."""
    prints = event.evidence.get("fingerprints", {})
    old_print = prints.get("before", {}).get("adapter")
    new: list[float] = []
    old: list[float] = []
    for rating in ratings:
        if rating.at < event.at or event.task not in rating.tasks:
            continue
        used = {print for name, print in rating.fingerprints.items() if _is_adapter(name)}
        if event.fingerprint in used:
            new.append(float(rating.rating > 0))
        elif old_print in used or (old_print is None and not used):
            old.append(float(rating.rating > 0))
    differences = [after - before for after, before in zip(new, old, strict=False)]
    return Trial(
        event,
        Side(event.adapter, int(sum(new)), len(new)),
        Side(str(event.evidence.get("before", "")), int(sum(old)), len(old)),
        sequential.judge(differences, ALPHA, least=LEAST_GAIN),
    )


def _is_adapter(name: str) -> bool:
    """Whether a rating's fingerprint is of an adapter; a compound request numbers its steps."""
    return name.rpartition(".")[2] == "adapter"
