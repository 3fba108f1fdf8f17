"""The logits of an answer's next tokens, some of them after guesses at what stands before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from engine.base_model import BaseModel
from engine.kv_cache import DecodeInput
from engine.lora import LoraAdapter
from engine.prompt_lookup import PromptLookup


class ReadAhead:
    """What was read of one answer, its prompt first.

    Attributes:
        logits: (vocabulary,) each, of its next tokens; none where it was not read to the prompt's
            end.
    """

    def __init__(
        self,
        model: BaseModel[Any],
        cache: Any,
        adapter: LoraAdapter | None,
        prompt: Sequence[int],
        max_guesses: int,
    ) -> None:
        self.logits: list[Tensor] = []
        self._model, self._cache, self._adapter = model, cache, adapter
        self._prompt, self._max_guesses = prompt, max_guesses
        self._guesses: list[int] = []  # in the KV cache, for which there are logits

    @cached_property
    def _lookup(self) -> PromptLookup:
        """Made behind the first token, which nobody is to wait for."""
        return PromptLookup(self._prompt, self._model.guess_cost)

    def wanted(self, token: int, most: int) -> DecodeInput[Any] | None:
        """What is to be read for the logits after the token that was picked; None if it is read.

        Args:
            most: guesses that are of use.
        """
        if not self._max_guesses:
            return DecodeInput(token, self._cache, self._adapter)
        self._lookup.add(token)
        if self._guesses and self._guesses[0] == token:
            del self._guesses[0]
            return None
        self.drop()
        guesses = self._lookup.guess(min(most, self._max_guesses))
        return DecodeInput(token, self._cache, self._adapter, guesses)

    def take(self, wanted: DecodeInput[Any], logits: list[Tensor]) -> None:
        """What came of it: logits after the token, and after the guesses that were read."""
        self.logits, self._guesses = logits, list(wanted.guesses[: len(logits) - 1])

    def drop(self) -> None:
        """Take guesses that were not picked out of the KV cache."""
        self._model.truncate(self._cache, len(self._guesses))
        self.logits, self._guesses = [], []
