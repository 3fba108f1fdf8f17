"""Wait for a condition, and never longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 0.02  # seconds


def eventually(true: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether it becomes true within so many seconds."""
    until = time.monotonic() + seconds
    while not (done := bool(true())) and time.monotonic() < until:
        time.sleep(EVERY)
    return done


def settled(count: Callable[[], float], still: float = 0.3, seconds: float = 10.0) -> bool:
    """Whether the count stops changing within so many seconds: it stays for `still` of them."""
    until = time.monotonic() + seconds
    last, since = count(), time.monotonic()
    while time.monotonic() < until:
        time.sleep(EVERY)
        if (now := count()) != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= still:
            return True
    return False
