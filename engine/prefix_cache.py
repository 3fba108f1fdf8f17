"""What finished answers have read: the next turn of a conversation does not read it again."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from engine.base_model import Base
from engine.kv_cache import Memory, Reading
from engine.lora import LoraWeights

MOST_BYTES = 2**27  # kept in all; the oldest leaves


@dataclass(frozen=True)
class _Entry:
    ids: list[int]
    weights: LoraWeights | None
    reading: Memory


class Kept:
    """Readings by the tokens they hold. Safe to use from many threads.

    A reading is used again only whole, by a prompt that goes on where it ended: a request then
    computes the same whatever others have asked before, unless it continues them.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self._entries: deque[_Entry] = deque()
        self._lock = threading.Lock()

    def take(self, prompt: list[int], weights: LoraWeights | None) -> tuple[Reading, int]:
        """The longest reading that the prompt continues, and how many of its tokens that holds."""
        with self._lock:
            fitting = [
                entry
                for entry in self._entries
                if entry.weights is weights
                and len(entry.ids) < len(prompt)
                and prompt[: len(entry.ids)] == entry.ids
            ]
            if fitting:
                best = max(fitting, key=lambda entry: len(entry.ids))
                self._entries.remove(best)
                return best.reading, len(best.ids)
        return self._base.memory(), 0

    def keep(self, ids: list[int], weights: LoraWeights | None, reading: Reading) -> None:
        """Keep what a finished answer has read; its request must not use it any more."""
        if not isinstance(reading, Memory):
            return  # transformers' own says nothing of its size
        with self._lock:
            self._entries.append(_Entry(ids, weights, reading))
            while sum(entry.reading.size for entry in self._entries) > MOST_BYTES:
                self._entries.popleft()

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
