"""What the engine asks of a base: forward passes over token ids, with or without an adapter."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.chat_template import ChatTemplate
from engine.constraints import Constraints
from engine.kv_cache import CacheT, DecodeInput, ScoreInput
from engine.lora import LoraAdapter, LoraFactors
from engine.prompt_lookup import GuessCost


class BaseModel(Protocol[CacheT]):
    """The forward passes of a base. A request's KV cache belongs to one request at a time.

    Attributes:
        end_tokens: ids that end an answer, as the base's generation settings name them.
        lora_shapes: (out, in) of every layer that an adapter may change, by name.
        max_threads: threads that may run passes at the same time.
        max_guesses: at next tokens, that `decode` reads in one pass, of all requests; 0 where a
            pass for several tokens of a request costs as much as several passes.
        guess_cost: what they cost.
    """

    end_tokens: frozenset[int]
    lora_shapes: dict[str, tuple[int, int]]
    max_threads: int
    max_guesses: int
    guess_cost: GuessCost

    @property
    def device(self) -> torch.device:
        """Where its weights and its logits are."""
        ...

    def new_cache(self) -> CacheT:
        """An empty KV cache for a new request."""
        ...

    def prefill(
        self, ids: Sequence[int], cache: CacheT, adapter: LoraAdapter | None, keep: int = 1
    ) -> Tensor:
        """Read tokens on top of a KV cache, which grows.

        Args:
            ids: at least one.
            cache: what was read before them.
            adapter: None for the bare base.
            keep: after how many of the last tokens logits are wanted.

        Returns:
            (keep, vocabulary) logits.
        """
        ...

    def decode(self, inputs: Sequence[DecodeInput[CacheT]]) -> Sequence[Tensor]:
        """Read one token of each request, and its guesses, on top of its KV cache, which grows.

        Returns:
            (vocabulary,) logits after each token, those of a request's guesses behind its own.
        """
        ...

    def score(
        self, inputs: Sequence[ScoreInput[CacheT]]
    ) -> Generator[None, None, list[list[float]]]:
        """Read prompts of several requests, and score what may follow each.

        It yields where it may be left off for other passes.

        Returns:
            of each input, the natural log-likelihood of each of its continuations.
        """
        ...

    def truncate(self, cache: CacheT, count: int) -> None:
        """Drop the last `count` tokens from a KV cache."""
        ...

    def prepare_lora(self, factors: LoraFactors) -> Any:
        """An adapter's factors in the form that these passes run them in."""
        ...

    def share_cores(self, threads: int) -> None:
        """From now on so many threads run passes at the same time, `max_threads` at most."""
        ...


@dataclass(frozen=True)
class Base:
    """The one base in memory.

    Attributes:
        model: its forward passes.
        template: messages -> token ids.
        context_tokens: prompt plus answer at most.
        fingerprints: `base`, `revision`, `quantization`.
        tools_refused: see `engine.interface.Engine`.
    """

    model: BaseModel[Any]
    template: ChatTemplate
    context_tokens: int
    fingerprints: dict[str, str]
    tools_refused: str | None = None

    @property
    def name(self) -> str:
        """The hub id, or the folder it came from."""
        return self.fingerprints["base"]

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Token ids that end an answer."""
        return self.model.end_tokens | {self.template.end_token}

    @cached_property
    def constraints(self) -> Constraints:
        """What holds answers to a grammar."""
        return Constraints(self.template.tokenizer, self.end_tokens)
