"""Take a base out of a transformers model, its weights rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine import int8
from engine.architectures import ARCHITECTURES, Architecture
from engine.kernels import (
    GROUPS,
    INT8_INPUTS,
    LANES,
    QUANT_GROUP,
    DecoderWeights,
    Float32Array,
    tiled,
)
from engine.lora import linear_shapes
from engine.packed_model import PackedConfig, PackedModel

LENGTH_DEPENDENT_ROTARY = {"dynamic", "longrope"}  # as configs name them


def unsupported(model: Any) -> str | None:
    """Why the base cannot be packed; None when it can."""
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        return f"it knows {', '.join(ARCHITECTURES)}, not {config.model_type}"
    if config.hidden_act != architecture.activation:
        return f"it knows {architecture.activation}, not {config.hidden_act}"
    if not set(getattr(config, "layer_types", None) or []) <= architecture.layer_types:
        return "it knows full attention only"
    if config.rope_parameters.get("rope_type", "default") in LENGTH_DEPENDENT_ROTARY:
        return "its positions depend on the length of the text"
    return _unsupported_layer(model.get_submodule(architecture.layers)[0], architecture)


def _unsupported_layer(layer: Any, architecture: Architecture) -> str | None:
    names = architecture.layer
    for name in (name for group in GROUPS for name in names.groups[group]):
        out, width = layer.get_submodule(name).weight.shape
        if out % LANES or (INT8_INPUTS and width % QUANT_GROUP):
            return f"{name} is {out} by {width}, not multiples of {LANES} and {QUANT_GROUP}"
    plain = (name for group in GROUPS if group not in names.biased for name in names.groups[group])
    biased = next((name for name in plain if layer.get_submodule(name).bias is not None), None)
    return f"{biased} has a bias" if biased else None


def pack(model: Any, positions: int) -> PackedModel:
    """Round a model that is not `unsupported` to 8 bits. It loses its layers.

    Args:
        model: a float32 base.
        positions: the longest text it will read, in tokens.
    """
    config, architecture = model.config, ARCHITECTURES[model.config.model_type]
    head_width = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    lora_shapes = linear_shapes(model)
    head, head_scale = _packed_head(model)  # an embedding tied to it is rounded with it
    arrays, edges = _packed_layers(model.get_submodule(architecture.layers), architecture)
    cos, sin = _rotary_table(model.get_submodule(architecture.rotary), positions)
    weights = DecoderWeights(
        **arrays,
        **_layer_norms(model.get_submodule(architecture.layers), architecture, head_width),
        head=head,
        head_scale=head_scale,
        final_norm=_norms([model], architecture.final_norm, architecture)[0],
        cos=cos,
        sin=sin,
        epsilon=float(config.rms_norm_eps),
    )
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    packed = PackedConfig(
        edges=edges,
        key_heads=config.num_key_value_heads,
        head_width=head_width,
        vocabulary=len(model.get_output_embeddings().weight),
        lora_shapes=lora_shapes,
        end_tokens=[end for end in ends if end is not None],
        epsilon=weights.epsilon,
        model_type=config.model_type,
    )
    model.set_submodule(architecture.layers, nn.ModuleList())
    return PackedModel(weights, packed, _own_embedding(model, architecture))


def smallest() -> PackedModel:
    """A random base of one layer: what is compiled for it is compiled for every base."""
    from transformers import LlamaConfig, LlamaForCausalLM  # 60 MB and a second

    config = LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    return pack(LlamaForCausalLM(config), positions=2)


def _packed_head(model: Any) -> tuple[Any, Float32Array]:
    """The output head, padded and tiled, and its scales."""
    head = model.get_output_embeddings().weight.requires_grad_(False)
    small, scale = int8.quantize(head.data)
    spare = -len(head) % LANES
    padded = np.pad(small.numpy(), ((0, spare), (0, 0)))
    return tiled(padded), np.pad(_array(scale), (0, spare))


def _own_embedding(model: Any, architecture: Architecture) -> Tensor | None:
    """The embedding where it is not tied to the head."""
    embedding = model.get_input_embeddings().weight
    if embedding is model.get_output_embeddings().weight:
        return None
    own: Tensor = embedding.detach().float()
    scale = architecture.embedding_scale(own.shape[1])
    return own if scale == 1 else own * scale


def _packed_layers(
    layers: Sequence[nn.Module], architecture: Architecture
) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The layers' linear weights as arrays, freed on the way, and the edges of each group."""
    arrays: dict[str, Any] = {"qkv_bias": _biases(layers, architecture.layer.groups["qkv"])}
    edges: dict[str, list[int]] = {}
    for group in GROUPS:
        packed = _packed_group(layers, architecture.layer.groups[group])
        arrays[group], arrays[f"{group}_scale"], edges[group] = packed
    return arrays, edges


def _packed_group(
    layers: Sequence[nn.Module], names: Sequence[str]
) -> tuple[Any, Float32Array, list[int]]:
    """Round the named parts of every layer, and free them: tiled weights, scales and edges."""
    lengths = (len(_part(layers[0], name).weight) for name in names)
    edges = np.cumsum([0, *lengths]).tolist()
    packed, scales = [], []
    for layer in layers:
        weights = [_part(layer, name).weight for name in names]
        small, scale = int8.quantize(torch.cat([part.data for part in weights]))
        for part in weights:
            part.data = torch.empty(0)
        packed.append(tiled(small.numpy()))
        scales.append(scale)
    return np.stack(packed), _stacked(scales), edges


def _part(module: nn.Module, name: str) -> Any:
    return module.get_submodule(name)


def _biases(layers: Sequence[nn.Module], names: Sequence[str]) -> Float32Array:
    parts = [[_part(layer, name).bias for name in names] for layer in layers]
    if parts[0][0] is None:
        return np.zeros((0, 0), np.float32)
    return _stacked([torch.cat(row) for row in parts])


def _layer_norms(
    layers: Sequence[nn.Module], architecture: Architecture, head_width: int
) -> dict[str, Any]:
    """Every norm of the layers; those that the family lacks have no rows."""
    names = architecture.layer
    heads = {"query_norm": names.query_norm, "key_norm": names.key_norm}
    return {
        "attention_norm": _norms(layers, names.attention_norm, architecture),
        "feed_forward_norm": _norms(layers, names.feed_forward_norm, architecture),
    } | {
        kind: _norms(layers, name, architecture) if name else np.zeros((0, head_width), np.float32)
        for kind, name in heads.items()
    }


def _norms(modules: Sequence[nn.Module], name: str, architecture: Architecture) -> Float32Array:
    """What the named norm of each module multiplies by."""
    weights = _stacked([_part(module, name).weight for module in modules])
    return weights + np.float32(architecture.norm_offset) if architecture.norm_offset else weights


def _rotary_table(rotary: Any, positions: int) -> tuple[Float32Array, Float32Array]:
    """Cosines and sines of each position, (positions, head width / 2)."""
    cos, sin = rotary(torch.zeros(1, 1), torch.arange(positions)[None])
    half = cos.shape[-1] // 2
    return _array(cos[0, :, :half]), _array(sin[0, :, :half])


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().float().contiguous().numpy()
    return array


def _stacked(tensors: Sequence[Tensor]) -> Float32Array:
    return _array(torch.stack(list(tensors)))
