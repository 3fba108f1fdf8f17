"""KV caches of finished answers: the next turn of a conversation reads only what is new."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from engine.kv_cache import KVCache
from engine.lora import LoraAdapter

PREFIX_CACHE_BYTES = 2**27  # in all; the oldest leaves


@dataclass(frozen=True)
class _Entry:
    tokens: list[int]
    adapter: LoraAdapter | None
    cache: KVCache


class PrefixCache:
    """KV caches by the tokens they hold. Safe to use from many threads.

    A cache is used again only whole, by a prompt that goes on where it ended: a request then
    computes the same whatever others have asked before, unless it continues them.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
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

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
