"""Any base through transformers' own layers, with LoRA added to each of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from engine import int8
from engine.batched_decode import BatchedDecode
from engine.kv_cache import DecodeInput, ScoreInput
from engine.lora import LoraAdapter, LoraFactors, add_lora_layers, linear_shapes
from engine.prompt_lookup import GuessCost

FEW_TOKENS = 64  # up to here one thread is about as quick, and does not stall on a busy machine


class TransformersModel:
    """See `engine.base_model.BaseModel`.

    Attributes:
        batched: reads tokens of several requests in one pass, where the model allows it.
    """

    max_threads = 1
    max_guesses = 0
    guess_cost = GuessCost()

    def __init__(self, model: Any, batched: bool) -> None:
        """
        Args:
            model: a causal language model of transformers; its linear layers are replaced.
            batched: whether `batched_decode` can read several requests together.
        """
        named = model.generation_config.eos_token_id
        ids = named if isinstance(named, list) else [named]
        self.end_tokens = frozenset(i for i in ids if i is not None)
        self.lora_shapes = linear_shapes(model)
        self._model = model
        self._active = add_lora_layers(model)
        self.batched = BatchedDecode(model, self._active) if batched else None

    @property
    def device(self) -> torch.device:
        """Where the inputs go."""
        device: torch.device = self._model.device
        return device

    def to(self, device: str) -> None:
        """Move the weights."""
        self._model.to(device)

    def new_cache(self) -> Cache:
        """Transformers' own KV cache."""
        return DynamicCache(config=self._model.config)

    def prefill(
        self, ids: Sequence[int], cache: Cache, adapter: LoraAdapter | None, keep: int = 1
    ) -> Tensor:
        """Read tokens on top of a KV cache: (keep, vocabulary) logits."""
        row = torch.tensor([list(ids)], device=self.device)
        return self._forward(row, cache, adapter, keep)[0]

    def decode(self, inputs: Sequence[DecodeInput[Cache]]) -> Sequence[Tensor]:
        """Read one token of each request: (vocabulary,) logits of each."""
        if self.batched and len(inputs) > 1:
            with self._few_threads():
                return list(self.batched.decode(inputs))
        if self.batched:
            self.batched.unbatch()
        return [self.prefill([one.token], one.cache, one.adapter)[-1] for one in inputs]

    def score(
        self, inputs: Sequence[ScoreInput[Cache]]
    ) -> Generator[None, None, list[list[float]]]:
        """Read one prompt after another, each with its continuations as one padded batch."""
        scores = []
        for one in inputs:
            scores.append(self._score(one))
            yield
        return scores

    def _score(self, one: ScoreInput[Cache]) -> list[float]:
        head = torch.log_softmax(self.prefill(one.prompt, one.cache, one.adapter)[-1].float(), -1)
        scores = [float(head[ids[0]]) for ids in one.continuations]
        longer = [(i, ids) for i, ids in enumerate(one.continuations) if len(ids) > 1]
        if longer:
            after = self._branches([ids[:-1] for _, ids in longer], one.cache, one.adapter)
            for (i, ids), logits in zip(longer, after, strict=True):
                targets = torch.tensor(ids[1:], device=logits.device)
                logprobs = torch.log_softmax(logits.float(), -1).gather(-1, targets[:, None])
                scores[i] += float(logprobs.sum())
        return scores

    def _branches(
        self, branches: Sequence[Sequence[int]], cache: Cache, adapter: LoraAdapter | None
    ) -> list[Tensor]:
        """(length, vocabulary) logits after each token of each continuation of a KV cache."""
        width = max(len(branch) for branch in branches)
        # Pads stand to the right of what is read, so causal attention never looks at them.
        padded = [[*branch, *[branch[-1]] * (width - len(branch))] for branch in branches]
        cache.batch_repeat_interleave(len(branches))
        ids = torch.tensor(padded, device=self.device)
        logits = self._forward(ids, cache, adapter, keep=width)
        cache.crop(-width)
        cache.batch_select_indices(torch.tensor([0], device=self.device))
        return [row[: len(ids)] for row, ids in zip(logits, branches, strict=True)]

    def truncate(self, cache: Cache, count: int) -> None:
        """Drop the last tokens from a KV cache."""
        if count:
            cache.crop(-count)

    def prepare_lora(self, factors: LoraFactors) -> LoraFactors:
        """An adapter's factors beside the weights, in their dtype."""
        dtype = self._model.dtype if self._model.dtype.is_floating_point else torch.bfloat16
        return {
            name: (a.to(self.device, dtype), b.to(self.device, dtype))
            for name, (a, b) in factors.items()
        }

    def share_cores(self, threads: int) -> None:
        """There is one thread at most."""

    def _forward(self, ids: Tensor, cache: Cache, adapter: LoraAdapter | None, keep: int) -> Tensor:
        """ids (batch, length) -> (batch, keep, vocabulary) logits of the last `keep`."""
        threads = self._few_threads() if ids.numel() <= FEW_TOKENS else nullcontext()
        with self._active.using(adapter), threads:
            out = self._model(ids, past_key_values=cache, use_cache=True, logits_to_keep=keep)
        logits: Tensor = out.logits
        return logits

    def _few_threads(self) -> AbstractContextManager[None]:
        """How few tokens are read."""
        return int8.one_thread() if self.device.type == "cpu" else nullcontext()
