"""How much a visitor may ask for, by the page and the API alike."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from agent.fair_queue import FairQueue
from core.errors import TooMany
from core.settings import Settings


class Limits:
    """The limits of the settings. Safe to use from many threads.

    Attributes:
        queue: where turns wait for each other.
        max_answer_tokens: of one turn's texts together.
    """

    def __init__(self, settings: Settings) -> None:
        self.queue = FairQueue(
            max_running=settings.max_running,
            max_waiting=settings.max_waiting,
            max_per_visitor=settings.visitor_running,
        )
        self.max_answer_tokens = settings.max_answer_tokens
        self._rate = RateLimitItemPerMinute(settings.visitor_rate)
        self._recent = MovingWindowRateLimiter(MemoryStorage())

    def count_request(self, visitor: str) -> None:
        """Count it towards the visitor's rate.

        Raises:
            TooMany: there were too many in the last minute.
        """
        if not self._recent.hit(self._rate, visitor):
            raise TooMany(
                f"You have sent {self._rate.amount} requests within a minute, which is the limit. "
                "Wait a little and go on more slowly."
            )
