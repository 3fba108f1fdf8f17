"""What one visitor, and all together, may ask for at one time and in a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from core.errors import EngineBusy, PatchbayError
from core.settings import Settings


class TooMany(PatchbayError):
    """A visitor asks too much."""


class Limits:
    """Counts requests and running answers by visitor. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._rate = RateLimitItemPerMinute(settings.visitor_rate)
        self._recent = MovingWindowRateLimiter(MemoryStorage())
        self._each = settings.visitor_running
        self._all = settings.max_running + settings.max_waiting
        self._running: Counter[str] = Counter()

    async def count(self, visitor: str) -> None:
        """Count a request.

        Raises:
            TooMany: there were too many in the last minute.
        """
        if not await self._recent.hit(self._rate, visitor):
            raise TooMany(
                f"You have sent {self._rate.amount} requests within a minute, which is the limit. "
                "Wait a little and go on more slowly."
            )

    def begin(self, visitor: str) -> Callable[[], None]:
        """Take a place for an answer; call what comes back, once, when it has ended.

        Raises:
            TooMany: the visitor has too many running.
            EngineBusy: all together have.
        """
        if self._running[visitor] >= self._each:
            raise TooMany(
                f"{self._each} of your requests are running, which is the limit. "
                "Wait until one has ended."
            )
        if self._running.total() >= self._all:
            raise EngineBusy(f"{self._all} requests are running or waiting. Try again in a minute.")
        self._running[visitor] += 1

        def end() -> None:
            self._running[visitor] -= 1
            self._running += Counter()  # forgets visitors at zero

        return end
