"""A Llama-like base on the CPU without transformers' layers: 8-bit weights, laid out for speed.

Prompts go through dense products, where arithmetic is the cost: in bfloat16 where the processor
multiplies it, in float32 elsewhere. Single tokens go through the compiled pass of `kernels`, where
reading the weights is the cost. Both compute with the same rounded weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine import int8, kernels
from engine.kernels import Floats, Patch, Weights
from engine.lora import LoraWeights, Pairs
from engine.memory import Memory, Reading

KINDS = ("llama", "qwen2", "qwen3")
GROUPS = {  # layers that read the same input, by their names in the base
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def unsupported(model: Any) -> str | None:
    """Why the base cannot run here; None when it can."""
    config = model.config
    if config.model_type not in KINDS:
        return f"it knows {', '.join(KINDS)}, not {config.model_type}"
    if config.hidden_act != "silu":
        return f"it knows silu, not {config.hidden_act}"
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return "it knows full attention only"
    if config.rope_parameters.get("rope_type", "default") in {"dynamic", "longrope"}:
        return "its positions depend on the length of the text"
    layer = model.model.layers[0]
    outputs = {name: len(_of(layer, name).weight) for group in GROUPS.values() for name in group}
    for name, size in outputs.items():
        if size % kernels.LANES:
            return f"{name} has {size} outputs, and {kernels.LANES} are read side by side"
    plain = (name for group in ("out", "gate_up", "down") for name in GROUPS[group])
    biased = next((name for name in plain if layer.get_submodule(name).bias is not None), None)
    return f"{biased} has a bias" if biased else None


@dataclass(frozen=True)
class Next:
    """A token to be read on top of a memory, with an adapter or None."""

    token: int
    memory: Reading
    weights: LoraWeights | None


@dataclass(frozen=True)
class _Group:
    """Layers that read the same input, one upon the other, for every layer of the base.

    Attributes:
        packed: (layers, out, in) int8, tiled; `scale` (layers, out).
        dense: (out, in) of each layer, the same weights for prompts.
        edges: where each part's rows begin, and where the last one ends.
    """

    packed: Any
    scale: Floats
    dense: list[Tensor]
    edges: tuple[int, ...]


class Direct:
    """The base's weights, and the two ways through them."""

    def __init__(self, model: Any, positions: int) -> None:
        """Take the layers out of a model that is not `unsupported`, rounded to 8 bits.

        Args:
            model: a float32 base; it keeps its embedding and loses its layers.
            positions: the longest text it will read, in tokens.
        """
        config, layers = model.config, model.model.layers
        hidden, heads = config.hidden_size, config.num_attention_heads
        width = getattr(config, "head_dim", None) or hidden // heads
        self._shape = (len(layers), config.num_key_value_heads, width)
        self._dtype = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
        self._groups = {name: self._take(layers, parts) for name, parts in GROUPS.items()}
        attention = [layer.self_attn for layer in layers]
        cos, sin = _rotation(model.model.rotary_emb, positions)
        head = model.get_output_embeddings().weight.requires_grad_(False)
        packed, scale = int8.quantize(head.data)  # an embedding tied to it is rounded with it
        spare = -len(head) % kernels.LANES
        self._head, self._embedding = head, model.get_input_embeddings().weight
        arrays: dict[str, Any] = {name: group.packed for name, group in self._groups.items()}
        arrays |= {f"{name}_scale": group.scale for name, group in self._groups.items()}
        self._weights = Weights(
            **arrays,
            qkv_bias=_biases(layers),
            head=kernels.tiled(np.pad(packed.numpy(), ((0, spare), (0, 0)))),
            head_scale=np.pad(_floats(scale), (0, spare)),
            before=_rows([layer.input_layernorm.weight for layer in layers]),
            between=_rows([layer.post_attention_layernorm.weight for layer in layers]),
            end=_floats(model.model.norm.weight),
            query_norm=_norms(attention, "q_norm", width),
            key_norm=_norms(attention, "k_norm", width),
            cos=cos,
            sin=sin,
            epsilon=float(config.rms_norm_eps),
        )
        model.model.layers = nn.ModuleList()
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
        x = self._embedding[[text.token for text in texts]].float().numpy()
        logits = kernels.step(x, np.array(table, np.int64), self._shape[1], self._weights)
        return torch.from_numpy(logits)[:, : len(self._head)]

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
        x = self._pass(torch.tensor(ids), at, seen, memory, adapter)
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
        ids = torch.tensor([*trunk, *(token for row in rows for token in row)])
        x = self._pass(ids, at, seen, memory, adapter)
        memory.length = fork
        if stem:
            return list(self._logits(x[stem - 1 :]).split([1, *sizes]))
        return list(self._logits(x).split(sizes))

    def _pass(
        self,
        ids: Tensor,
        at: Tensor,
        seen: Tensor | None,
        memory: Memory,
        adapter: LoraWeights | None,
    ) -> Tensor:
        """Through all layers.

        Args:
            ids: (N,) tokens.
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
        x = self._embedding[ids].float()
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
        group = self._groups[name]
        out = F.linear(x, group.dense[layer])
        a, b = (torch.from_numpy(getattr(patch, f"{name}_{side}")[layer]) for side in "ab")
        if a.shape[1]:
            narrow = F.linear(x, a.flatten(0, 1).to(x.dtype)).chunk(len(a), -1)
            b = b.to(x.dtype)
            for part, (begin, end) in enumerate(_spans(group.edges)):
                out[:, begin:end].addmm_(narrow[part], b[:, begin:end])
        return out

    def _logits(self, x: Tensor) -> Tensor:
        """(N, H) -> (N, vocabulary) float32."""
        if len(x) <= int8.FEW_ROWS:
            weights = self._weights
            logits = kernels.project(x.numpy(), weights.head, weights.head_scale)
            return torch.from_numpy(logits)[:, : len(self._head)]
        return F.linear(x.to(self._head.dtype), self._head).float()

    def _patch(self, adapter: LoraWeights | None) -> Patch:
        patch: Patch = self._bare if adapter is None else adapter.layers
        return patch

    def lay_out(self, pairs: Pairs) -> Patch:
        """An adapter's factors by group; layers and ranks that it lacks are zero."""
        rank = max((len(down) for down, _ in pairs.values()), default=0)
        made: dict[str, Floats] = {}
        for name, parts in GROUPS.items():
            group = self._groups[name]
            layers, rows, width = len(group.packed), group.edges[-1], group.packed.shape[2]
            a = np.zeros((layers, len(parts), rank, width), np.float32)
            b = np.zeros((layers, rank, rows), np.float32)
            for layer in range(layers):
                for part, (begin, end) in enumerate(_spans(group.edges)):
                    if pair := pairs.get(f"model.layers.{layer}.{parts[part]}"):
                        down, up = (side.float().numpy() for side in pair)
                        a[layer, part, : len(down)] = down
                        b[layer, : len(down), begin:end] = up.T
            made[f"{name}_a"], made[f"{name}_b"] = a, b
        return Patch(**made)

    def _take(self, layers: Sequence[nn.Module], names: Sequence[str]) -> _Group:
        """Round the named parts of every layer, and free them."""
        first = [_of(layers[0], name).weight for name in names]
        edges = np.cumsum([0, *(len(weight) for weight in first)]).tolist()
        packed, scale = [], np.empty((len(layers), edges[-1]), np.float32)
        dense = []
        for i, layer in enumerate(layers):
            weights = [_of(layer, name).weight for name in names]
            weight = torch.cat([part.data for part in weights])
            for part in weights:
                part.data = torch.empty(0)
            small, scales = int8.quantize(weight)
            packed.append(kernels.tiled(small.numpy()))
            scale[i] = scales.float().numpy()
            dense.append(weight.to(self._dtype))
        return _Group(np.stack(packed), scale, dense, tuple(edges))

    def _sizes(self, name: str) -> list[int]:
        return [end - begin for begin, end in _spans(self._groups[name].edges)]


def _of(layer: nn.Module, name: str) -> Any:
    return layer.get_submodule(name)


def _spans(edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    return pairwise(edges)


def _normed(x: Tensor, weight: Floats, epsilon: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), torch.from_numpy(weight), epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: (N, heads, width); cos, sin: (N, 1, width / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _biases(layers: Sequence[nn.Module]) -> Floats:
    parts = [[_of(layer, name).bias for name in GROUPS["qkv"]] for layer in layers]
    if parts[0][0] is None:
        return np.zeros((0, 0), np.float32)
    return _rows([torch.cat(row) for row in parts])


def _norms(attention: Sequence[Any], name: str, width: int) -> Floats:
    if not hasattr(attention[0], name):
        return np.zeros((0, width), np.float32)
    return _rows([getattr(layer, name).weight for layer in attention])


def _rotation(rotary: Any, positions: int) -> tuple[Floats, Floats]:
    """Cosines and sines of each position, (positions, head width / 2)."""
    cos, sin = rotary(torch.zeros(1, 1), torch.arange(positions)[None])
    half = cos.shape[-1] // 2
    return _floats(cos[0, :, :half]), _floats(sin[0, :, :half])


def _floats(tensor: Tensor) -> Floats:
    made: Floats = tensor.detach().float().contiguous().numpy()
    return made


def _rows(tensors: Sequence[Tensor]) -> Floats:
    return _floats(torch.stack(list(tensors)))
