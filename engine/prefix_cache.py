"""KV caches of finished answers: the next turn of a conversation reads only what is new."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from engine.kv_cache import KVCache
from engine.lora import LoraAdapter

PREFIX_CACHE_BYTES = 2**27  # in all; the oldest leaves
BATCHES = 4  # whose prompts' beginning is kept
MAX_BEGINNING = 512  # tokens of a row's prompt that are kept for the next
SPARE, SPARE_BYTES = 32, 2**23  # KV caches whose memory is kept for rows to come, and each one's


@dataclass(frozen=True)
class _Entry:
    tokens: list[int]
    adapter: LoraAdapter | None
    cache: KVCache


@dataclass
class _Beginning:
    """What a row of a table has read; `shared` tokens of it were those of the last row too."""

    batch: str
    entry: _Entry
    shared: int = 0


class PrefixCache:
    """KV caches by the tokens they hold. Safe to use from many threads.

    A cache is used again only whole, by a prompt that goes on where it ended: a request then
    computes the same whatever others have asked before, unless it continues them. Rows of one
    table also share what their prompts begin with: to them alone, because a wait that is shorter
    tells what was read before.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._rows: deque[_Beginning] = deque(maxlen=BATCHES)
        self._spare: list[KVCache] = []  # of rows that are done, for those that come
        self._lock = threading.Lock()

    def take(self, prompt: list[int], adapter: LoraAdapter | None) -> tuple[KVCache, int] | None:
        """The longest prefix that the prompt continues, out of the cache.

        Returns:
            its KV cache, and how many tokens of the prompt that holds; None where there is none.
        """
        with self._lock:
            prefixes = [
                entry
                for entry in self._entries
                if entry.adapter is adapter
                and len(entry.tokens) < len(prompt)
                and prompt[: len(entry.tokens)] == entry.tokens
            ]
            if not prefixes:
                return None
            longest = max(prefixes, key=lambda entry: len(entry.tokens))
            self._entries.remove(longest)
            return longest.cache, len(longest.tokens)

    def put(self, tokens: list[int], adapter: LoraAdapter | None, cache: object) -> None:
        """Keep what a finished answer has read; its request must not use it any more.

        Only a `KVCache` is kept: transformers' own says nothing of its size.
        """
        if not isinstance(cache, KVCache):
            return
        with self._lock:
            self._entries.append(_Entry(tokens, adapter, cache))
            while sum(entry.cache.nbytes for entry in self._entries) > PREFIX_CACHE_BYTES:
                self._entries.popleft()

    def take_beginning(
        self, batch: str, prompt: list[int], adapter: LoraAdapter | None
    ) -> tuple[KVCache, int] | None:
        """What the prompt of another row of the table begins with alike.

        Returns:
            a KV cache, and how many tokens of the prompt it holds, at least one less than all; None
            where there is none.
        """
        with self._lock:
            known = self._beginning_of(batch, adapter)
            if not batch or known is None:
                return None
            spare = self._spare.pop() if self._spare else None
        shared = _shared(prompt, known.entry.tokens)
        return known.entry.cache.beginning(shared, spare), shared

    def put_beginning(
        self, batch: str, prompt: list[int], adapter: LoraAdapter | None, cache: object
    ) -> None:
        """Keep what a row of the table has read, unless what is kept shares as much with it as with
        the row before; the row must not use its KV cache any more.
        """
        if not isinstance(cache, KVCache):
            return
        with self._lock:
            known = self._beginning_of(batch, adapter)
            shared = _shared(prompt, known.entry.tokens) if known else 0
            if known and shared >= max(1, known.shared):
                known.shared = shared
            else:
                if known:
                    self._rows.remove(known)
                length = min(len(prompt), cache.length, MAX_BEGINNING)
                entry = _Entry(prompt[:length], adapter, cache.beginning(length))
                self._rows.append(_Beginning(batch, entry))
            if len(self._spare) < SPARE and cache.nbytes <= SPARE_BYTES:
                self._spare.append(cache)

    def drop_spare(self) -> None:
        """Free the memory that is kept for rows that come."""
        with self._lock:
            self._spare.clear()

    def _beginning_of(self, batch: str, adapter: LoraAdapter | None) -> _Beginning | None:
        found = (b for b in self._rows if b.batch == batch and b.entry.adapter is adapter)
        return next(found, None)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
            self._rows.clear()
            self._spare.clear()


def _shared(prompt: list[int], tokens: list[int]) -> int:
    """How many tokens a prompt begins with alike, at least one less than it has."""
    pairs = zip(prompt[:-1], tokens, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
