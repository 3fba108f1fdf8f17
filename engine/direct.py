"""A packed base on the CPU: prompts and tokens, without transformers' layers.

Prompts go through dense products, where arithmetic is the cost: in bfloat16 where the processor
multiplies it, in float32 elsewhere. Single tokens go through the compiled pass of `kernels`, where
reading the weights is the cost. Both compute with the same rounded weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine import kernels
from engine.kernels import Floats, Patch
from engine.lora import LoraWeights, Pairs
from engine.memory import Memory, Next
from engine.packed import GROUPS, Packed, spans


class Direct:
    """The two ways through a base's weights."""

    def __init__(self, packed: Packed) -> None:
        """Make the matrices for prompts."""
        self._packed, self._weights, self.facts = packed, packed.weights, packed.facts
        self._shape = (packed.layers, self.facts.key_heads, self.facts.width)
        self._dtype = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
        self._dense = {
            name: [packed.dense(name, layer, self._dtype) for layer in range(packed.layers)]
            for name in GROUPS
        }
        self._bare = self.lay_out({})
        self.step([Next(0, self.memory(), None)])  # compiles, or reads what was compiled before

    def memory(self) -> Memory:
        """An empty one for a new request."""
        return Memory(*self._shape)

    def step(self, texts: Sequence[Next]) -> Tensor:
        """Read one token of each text on top of its memory, which grows.

        Returns:
            (texts, vocabulary) float32 logits of the next ones.
        """
        table, patches = [], [self._patch(text.weights) for text in texts]
        for text, patch in zip(texts, patches, strict=True):
            memory = text.memory
            assert isinstance(memory, Memory)
            memory.make_room(1)
            memory.length += 1
            arrays = memory.keys.numpy(), memory.values.numpy()
            table.append(kernels.row(*arrays, memory.length - 1, patch))
        x = self._packed.embed([text.token for text in texts]).numpy()
        logits = kernels.step(x, np.array(table, np.int64), self._shape[1], self._weights)
        return torch.from_numpy(logits)[:, : self.facts.vocabulary]

    def read(
        self, ids: Sequence[int], memory: Memory, adapter: LoraWeights | None, keep: int = 1
    ) -> Tensor:
        """Read many tokens on top of the memory, which grows.

        Returns:
            (keep, vocabulary) float32 logits after the last ones.
        """
        start, count = memory.length, len(ids)
        at = torch.arange(start, start + count)
        seen = torch.ones(count, start + count, dtype=torch.bool).tril_(start) if start else None
        x = self._pass(ids, at, seen, memory, adapter)
        memory.length += count
        return self._logits(x[-keep:])

    def branches(
        self,
        rows: Sequence[Sequence[int]],
        memory: Memory,
        adapter: LoraWeights | None,
        trunk: Sequence[int] = (),
    ) -> list[Tensor]:
        """Read a trunk and its continuations in one pass; see `Base.branches`."""
        start, stem = memory.length, len(trunk)
        sizes = [len(row) for row in rows]
        fork = start + stem
        at = torch.cat([torch.arange(start, fork), *(torch.arange(n) + fork for n in sizes)])
        seen = torch.block_diag(*(torch.ones(n, n).tril() for n in (stem, *sizes))).bool()
        seen[stem:, :stem] = True
        seen = torch.cat([torch.ones(len(at), start, dtype=torch.bool), seen], 1)
        ids = [*trunk, *(token for row in rows for token in row)]
        x = self._pass(ids, at, seen, memory, adapter)
        memory.length = fork
        if stem:
            return list(self._logits(x[stem - 1 :]).split([1, *sizes]))
        return list(self._logits(x).split(sizes))

    def _pass(
        self,
        ids: Sequence[int],
        at: Tensor,
        seen: Tensor | None,
        memory: Memory,
        adapter: LoraWeights | None,
    ) -> Tensor:
        """Through all layers.

        Args:
            ids: N tokens.
            at: (N,) their positions.
            seen: (N, memory + N) what each attends to; None is all before it, on no memory.
            memory: its filled part is read, the keys and values of the tokens are written after.

        Returns:
            (N, H) hidden states, normed.
        """
        memory.make_room(len(ids))
        weights, patch = self._weights, self._patch(adapter)
        width = self._shape[2]
        begin, end = memory.length, memory.length + len(ids)
        cos, sin = (torch.from_numpy(table)[at][:, None] for table in (weights.cos, weights.sin))
        x = self._packed.embed(ids)
        for layer in range(self._shape[0]):
            normed = _normed(x, weights.before[layer], weights.epsilon).to(self._dtype)
            qkv = self._linear("qkv", layer, normed, patch).float()
            if len(weights.qkv_bias):
                qkv += torch.from_numpy(weights.qkv_bias[layer])
            q, k, v = (
                part.view(len(ids), -1, width) for part in qkv.split(self._sizes("qkv"), dim=-1)
            )
            if len(weights.query_norm):
                q = _normed(q, weights.query_norm[layer], weights.epsilon)
                k = _normed(k, weights.key_norm[layer], weights.epsilon)
            memory.keys[layer, :, begin:end] = _rotated(k, cos, sin).transpose(0, 1)
            memory.values[layer, :, begin:end] = v.transpose(0, 1)
            mixed = F.scaled_dot_product_attention(
                _rotated(q, cos, sin).transpose(0, 1)[None].to(self._dtype),
                memory.keys[layer, None, :, :end].to(self._dtype),
                memory.values[layer, None, :, :end].to(self._dtype),
                attn_mask=seen,
                is_causal=seen is None,
                enable_gqa=True,
            )
            mixed = mixed[0].transpose(0, 1).reshape(len(ids), -1)
            x += self._linear("out", layer, mixed, patch)
            normed = _normed(x, weights.between[layer], weights.epsilon).to(self._dtype)
            gate, up = self._linear("gate_up", layer, normed, patch).chunk(2, -1)
            x += self._linear("down", layer, F.silu(gate).mul_(up), patch)
        return _normed(x, weights.end, weights.epsilon)

    def _linear(self, name: str, layer: int, x: Tensor, patch: Patch) -> Tensor:
        """One group of one layer with its adapter. (N, in) -> (N, out)."""
        out = F.linear(x, self._dense[name][layer])
        a, b = (torch.from_numpy(getattr(patch, f"{name}_{side}")[layer]) for side in "ab")
        if a.shape[1]:
            narrow = F.linear(x, a.flatten(0, 1).to(x.dtype)).chunk(len(a), -1)
            b = b.to(x.dtype)
            for part, (begin, end) in enumerate(spans(self.facts.edges[name])):
                out[:, begin:end].addmm_(narrow[part], b[:, begin:end])
        return out

    def _logits(self, x: Tensor) -> Tensor:
        """(N, H) -> (N, vocabulary) float32."""
        logits = kernels.project(x.numpy(), self._weights.head, self._weights.head_scale)
        return torch.from_numpy(logits)[:, : self.facts.vocabulary]

    def _patch(self, adapter: LoraWeights | None) -> Patch:
        patch: Patch = self._bare if adapter is None else adapter.layers
        return patch

    def lay_out(self, pairs: Pairs) -> Patch:
        """An adapter's factors by group; layers and ranks that it lacks are zero."""
        rank = max((len(down) for down, _ in pairs.values()), default=0)
        made: dict[str, Floats] = {}
        for name, parts in GROUPS.items():
            edges, layers = self.facts.edges[name], self._packed.layers
            rows, width = edges[-1], getattr(self._weights, name).shape[2]
            a = np.zeros((layers, len(parts), rank, width), np.float32)
            b = np.zeros((layers, rank, rows), np.float32)
            for layer in range(layers):
                for part, (begin, end) in enumerate(spans(edges)):
                    if pair := pairs.get(f"model.layers.{layer}.{parts[part]}"):
                        down, up = (side.float().numpy() for side in pair)
                        a[layer, part, : len(down)] = down
                        b[layer, : len(down), begin:end] = up.T
            made[f"{name}_a"], made[f"{name}_b"] = a, b
        return Patch(**made)

    def _sizes(self, name: str) -> list[int]:
        return [end - begin for begin, end in spans(self.facts.edges[name])]


def _normed(x: Tensor, weight: Floats, epsilon: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), torch.from_numpy(weight), epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (N, heads, width); cos, sin: (N, 1, width / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
