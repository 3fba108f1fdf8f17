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


@dataclass(frozen=True)
class _Entry:
    tokens: list[int]
    adapter: LoraAdapter | None
    cache: KVCache


class PrefixCache:
    """KV caches by the tokens they hold. Safe to use from many threads.

    A cache is used again only whole, by a prompt that goes on where it ended: a request then
    computes the same whatever others have asked before, unless it continues them. Rows of one
    table also share what their prompts begin with: to them alone, because a wait that is shorter
    tells what was read before.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._rows: deque[tuple[str, _Entry]] = deque(maxlen=BATCHES)
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
            found = [e for b, e in self._rows if b == batch and e.adapter is adapter]
        if not batch or not found:
            return None
        pairs = zip(prompt[:-1], found[-1].tokens, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return found[-1].cache.beginning(shared), shared

    def put_beginning(
        self, batch: str, prompt: list[int], adapter: LoraAdapter | None, cache: object
    ) -> None:
        """Keep what a row of the table has read, in place of what the row before it had."""
        if not isinstance(cache, KVCache):
            return
        length = min(len(prompt), cache.length, MAX_BEGINNING)
        entry = _Entry(prompt[:length], adapter, cache.beginning(length))
        with self._lock:
            before = [e for e in self._rows if e[0] == batch and e[1].adapter is adapter]
            for one in before:
                self._rows.remove(one)
            self._rows.append((batch, entry))

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
            self._rows.clear()
