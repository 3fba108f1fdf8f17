"""Decoding without transformers: a base's 8-bit weights laid out for the compiled pass."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from engine import kernels
from engine.int8 import Int8Linear
from engine.kernels import Floats, Patch, Weights
from engine.lora import LoraWeights
from engine.memory import Memory

KINDS = ("llama", "qwen2", "qwen3")
GROUPS = {  # layers that read the same input, by their names in the base
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def unsupported(model: Any) -> str | None:
    """Why the compiled pass cannot run the base; None when it can."""
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
    biased = [
        n for g in ("out", "gate_up", "down") for n in GROUPS[g] if _of(layer, n).bias is not None
    ]
    return f"{biased[0]} has a bias" if biased else None


class Direct:
    """The compiled pass over one base.

    It shares the 8-bit weights with the base's own layers.
    """

    def __init__(self, model: Any, positions: int) -> None:
        """
        Args:
            model: a base that is not `unsupported`, quantized to 8 bits.
            positions: the longest text it will read, in tokens.
        """
        layers, config = model.model.layers, model.config
        self._embedding: Tensor = model.get_input_embeddings().weight
        heads = config.num_key_value_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        self._shape = (len(layers), heads, width)
        groups = {name: _stack(layers, parts) for name, parts in GROUPS.items()}
        head = model.get_output_embeddings()
        cos, sin = _rotation(model.model.rotary_emb, positions)
        attention = [layer.self_attn for layer in layers]
        self._weights = Weights(
            qkv=groups["qkv"][0],
            qkv_scale=groups["qkv"][1],
            qkv_bias=_biases(layers, GROUPS["qkv"]),
            out=groups["out"][0],
            out_scale=groups["out"][1],
            gate_up=groups["gate_up"][0],
            gate_up_scale=groups["gate_up"][1],
            down=groups["down"][0],
            down_scale=groups["down"][1],
            head=head.packed.numpy(),
            head_scale=_floats(head.scale),
            before=_rows([layer.input_layernorm.weight for layer in layers]),
            between=_rows([layer.post_attention_layernorm.weight for layer in layers]),
            end=_floats(model.model.norm.weight),
            query_norm=_norms(attention, "q_norm", width),
            key_norm=_norms(attention, "k_norm", width),
            cos=cos,
            sin=sin,
            epsilon=float(config.rms_norm_eps),
        )
        self._bare = self._lay_out({})
        self._patches: WeakKeyDictionary[LoraWeights, Patch] = WeakKeyDictionary()
        self._lock = threading.Lock()
        memory = self.memory()
        self.step(0, memory, None)  # compiles, or reads what was compiled before

    def memory(self) -> Memory:
        """An empty one for a new request."""
        return Memory(*self._shape)

    def step(self, token: int, memory: Memory, adapter: LoraWeights | None) -> Tensor:
        """Read one token on top of the memory, which grows.

        Returns:
            (vocabulary,) float32 logits of the next one.
        """
        memory.make_room(1)
        patch = self._bare if adapter is None else self._patch(adapter)
        x = self._embedding[token].float().numpy().copy()
        keys, values = memory.keys.numpy(), memory.values.numpy()
        logits = kernels.step(x, memory.length, self._weights, patch, keys, values)
        memory.length += 1
        return torch.from_numpy(logits)

    def _patch(self, adapter: LoraWeights) -> Patch:
        with self._lock:
            if adapter not in self._patches:
                self._patches[adapter] = self._lay_out(adapter.layers)
            return self._patches[adapter]

    def _lay_out(self, pairs: dict[str, tuple[Tensor, Tensor]]) -> Patch:
        """An adapter's factors by group; layers and ranks that it lacks are zero."""
        rank = max((len(down) for down, _ in pairs.values()), default=0)
        made: dict[str, Floats] = {}
        for group, parts in GROUPS.items():
            weight: Any = getattr(self._weights, group)
            count, rows, width = weight.shape
            a = np.zeros((count, len(parts), rank, width), np.float32)
            b = np.zeros((count, rank, rows), np.float32)
            for layer in range(count if rank else 0):
                begin = 0
                for part, (name, size) in enumerate(zip(parts, self._sizes(group), strict=True)):
                    if pair := pairs.get(f"model.layers.{layer}.{name}"):
                        down, up = (side.float().numpy() for side in pair)
                        a[layer, part, : len(down)] = down
                        b[layer, : len(down), begin : begin + size] = up.T
                    begin += size
            made[f"{group}_a"], made[f"{group}_b"] = a, b
        return Patch(**made)

    def _sizes(self, group: str) -> tuple[int, ...]:
        """Rows of each part of a group."""
        _, rows, width = getattr(self._weights, group).shape
        if group == "qkv":
            narrow = self._shape[1] * self._shape[2]
            return rows - 2 * narrow, narrow, narrow
        parts = len(GROUPS[group])
        return (rows // parts,) * parts


def _of(layer: nn.Module, name: str) -> Any:
    """A layer's linear part, without its patch point."""
    part = layer.get_submodule(name)
    return getattr(part, "linear", part)


def _stack(layers: Sequence[nn.Module], names: Sequence[str]) -> tuple[Any, Floats]:
    """The named parts of all layers one upon the other; the parts become views of the whole."""
    first: list[Int8Linear] = [_of(layers[0], name) for name in names]
    rows = sum(part.out_features for part in first)
    packed = torch.empty(len(layers), rows, first[0].in_features, dtype=torch.int8)
    scale = torch.empty(len(layers), rows)
    for i, layer in enumerate(layers):
        begin = 0
        for part in (_of(layer, name) for name in names):
            end = begin + part.out_features
            packed[i, begin:end] = part.packed
            scale[i, begin:end] = part.scale
            part.packed = packed[i, begin:end]
            begin = end
    return packed.numpy(), scale.numpy()


def _biases(layers: Sequence[nn.Module], names: Sequence[str]) -> Floats:
    parts = [[_of(layer, name).bias for name in names] for layer in layers]
    if parts[0][0] is None:
        return np.zeros((0, 0), np.float32)
    return _rows([torch.cat(row) for row in parts])


def _norms(attention: Sequence[Any], name: str, width: int) -> Floats:
    if not hasattr(attention[0], name):
        return np.zeros((0, width), np.float32)
    return _rows([getattr(layer, name).weight for layer in attention])


def _rotation(rotary: Any, positions: int) -> tuple[Floats, Floats]:
    """Cosines and sines of each position, (positions, head width / 2)."""
    at = torch.arange(positions)[None]
    cos, sin = rotary(torch.zeros(1, 1), at)
    half = cos.shape[-1] // 2
    return _floats(cos[0, :, :half]), _floats(sin[0, :, :half])


def _floats(tensor: Tensor) -> Floats:
    made: Floats = tensor.detach().float().contiguous().numpy()
    return made


def _rows(tensors: Sequence[Tensor]) -> Floats:
    return _floats(torch.stack(list(tensors)))
