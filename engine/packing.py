"""Take a base out of a transformers model, or of a file, its weights rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from engine import int8
from engine.architectures import ACTIVATIONS, ARCHITECTURES, FULL, SLIDING, Architecture
from engine.kernels.layout import (
    GROUPS,
    INT8_INPUTS,
    LANES,
    QKV,
    QUANT_GROUP,
    DecoderWeights,
    Float32Array,
    Int8Array,
    Int64Array,
    tiled,
)
from engine.lora import linear_shapes
from engine.packed_model import PackedConfig, PackedModel

HEAD_ROWS = 2**14  # of the output head that are rounded at a time
LENGTH_DEPENDENT_ROTARY = {"dynamic", "longrope"}  # as configs name them
NORMS = ("attention_norm", "post_attention_norm", "feed_forward_norm", "post_feed_forward_norm")
LOGIT_CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
HEAD_NORMS = ("query_norm", "key_norm")


def unsupported(model: Any) -> str | None:
    """Why the base cannot be packed; None when it can."""
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        return f"it knows {', '.join(ARCHITECTURES)}, not {config.model_type}"
    reasons = _unsupported_config(config, architecture)
    first_layer = model.get_submodule(architecture.layers)[0]
    return next(reasons, None) or _unsupported_layer(first_layer, architecture)


def _unsupported_config(config: Any, architecture: Architecture) -> Iterator[str]:
    """What the family's entry does not cover."""
    activation = getattr(config, architecture.activation_key)
    if activation != architecture.activation:
        yield f"it knows {architecture.activation}, not {activation}"
    if not set(_layer_types(config)) <= architecture.layer_types:
        yield f"it knows {' and '.join(sorted(architecture.layer_types))} only"
    rotary = config.rope_parameters
    tables = rotary.values() if architecture.rotary_by_layer_type else [rotary]
    if any(table.get("rope_type", "default") in LENGTH_DEPENDENT_ROTARY for table in tables):
        yield "its positions depend on the length of the text"
    if getattr(config, "query_pre_attn_scalar", None) not in (None, _head_width(config)):
        yield "its attention is not scaled by the width of a head"
    if any(getattr(config, cap, None) for cap in LOGIT_CAPS):
        yield "its logits are capped"
    if getattr(config, "use_bidirectional_attention", False):
        yield "its tokens attend to later ones"


def _unsupported_layer(layer: Any, architecture: Architecture) -> str | None:
    names = architecture.layer
    for name in (name for group in GROUPS for name in names.groups[group]):
        out, width = layer.get_submodule(name).weight.shape
        if out % LANES or (INT8_INPUTS and width % QUANT_GROUP):
            return f"{name} is {out} by {width}, not multiples of {LANES} and {QUANT_GROUP}"
    plain = (name for group in GROUPS if group not in names.biased for name in names.groups[group])
    biased = next((name for name in plain if layer.get_submodule(name).bias is not None), None)
    return f"{biased} has a bias" if biased else None


class WeightSource(Protocol):
    """Where the weights of a base are read from, one after another."""

    def weight(self, name: str, rows: slice = slice(None)) -> Tensor:
        """A parameter by transformers' name of it, or some of its rows."""
        ...

    def release(self, name: str) -> None:
        """It is not read again."""
        ...


class ModelWeights:
    """Those of a model in memory, which loses them."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def weight(self, name: str, rows: slice = slice(None)) -> Tensor:
        """A parameter, or some of its rows."""
        parameter: Tensor = self._model.get_parameter(name)
        return parameter.detach()[rows]

    def release(self, name: str) -> None:
        """Free its memory."""
        self._model.get_parameter(name).data = torch.empty(0)


def pack(model: Any, positions: int, source: WeightSource | None = None) -> PackedModel:
    """Round a model that is not `unsupported` to 8 bits, a weight at a time.

    Args:
        model: a base; where there is a source its own weights may be on the meta device, else they
            are float32, and it loses its layers.
        positions: the longest text it will read, in tokens.
        source: where the weights are read from, in place of the model.
    """
    config, architecture = model.config, ARCHITECTURES[model.config.model_type]
    head_width = _head_width(config)
    lora_shapes = linear_shapes(model)
    weights = source or ModelWeights(model)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    own_embedding = None if tied else _own_embedding(weights, architecture)
    # An embedding tied to the head is rounded with it.
    name = architecture.embedding if tied else architecture.head
    head, head_scale = _packed_head(weights, f"{name}.weight", config)
    layers = model.get_submodule(architecture.layers)
    arrays, edges = _packed_layers(layers, architecture, weights)
    cos, sin, rotary = _rotary_tables(model, architecture, positions)
    decoder = DecoderWeights(
        **arrays,
        **_layer_norms(len(layers), architecture, weights, head_width),
        head=head,
        head_scale=head_scale,
        final_norm=_norms([architecture.final_norm], architecture, weights)[0],
        cos=cos,
        sin=sin,
        rotary=rotary,
        window=_windows(config, positions),
        activation=ACTIVATIONS[architecture.activation],
        epsilon=float(config.rms_norm_eps),
    )
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    packed = PackedConfig(
        edges=edges,
        key_heads=config.num_key_value_heads,
        head_width=head_width,
        vocabulary=config.vocab_size,
        lora_shapes=lora_shapes,
        end_tokens=[end for end in ends if end is not None],
        epsilon=decoder.epsilon,
        model_type=config.model_type,
    )
    model.set_submodule(architecture.layers, nn.ModuleList())
    return PackedModel(decoder, packed, own_embedding)


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


def _packed_head(weights: WeightSource, name: str, config: Any) -> tuple[Int8Array, Float32Array]:
    """The output head, padded and tiled, and its scales; a part at a time, as it is large."""
    blocks = -(-config.vocab_size // LANES)
    head = np.zeros((blocks, config.hidden_size, LANES), np.int8)
    scales = np.zeros(blocks * LANES, np.float32)
    for begin in range(0, config.vocab_size, HEAD_ROWS):
        small, scale = int8.quantize(weights.weight(name, slice(begin, begin + HEAD_ROWS)))
        spare = -len(small) % LANES
        part = tiled(np.pad(small.numpy(), ((0, spare), (0, 0))))
        head[begin // LANES : begin // LANES + len(part)] = part
        scales[begin : begin + len(scale)] = _array(scale)
    return head, scales


def _own_embedding(weights: WeightSource, architecture: Architecture) -> Tensor:
    """The embedding where it is not tied to the head."""
    own = weights.weight(f"{architecture.embedding}.weight").float().clone()
    scale = architecture.embedding_scale(own.shape[1])
    return own if scale == 1 else own * scale


def _packed_layers(
    layers: Sequence[nn.Module], architecture: Architecture, weights: WeightSource
) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The layers' linear weights as arrays, freed on the way, and the edges of each group."""
    count, names = len(layers), architecture.layer.groups
    biased = [layers[0].get_submodule(name).bias is not None for name in names[GROUPS[QKV]]]
    arrays: dict[str, Any] = {"qkv_bias": np.zeros((0, 0), np.float32)}
    if all(biased):
        arrays["qkv_bias"] = _stacked(
            [
                torch.cat([weights.weight(f"{prefix}.{name}.bias") for name in names[GROUPS[QKV]]])
                for prefix in _prefixes(count, architecture)
            ]
        )
    edges: dict[str, list[int]] = {}
    for group in GROUPS:
        packed = _packed_group(_prefixes(count, architecture), names[group], weights)
        arrays[group], arrays[f"{group}_scale"], edges[group] = packed
    return arrays, edges


def _packed_group(
    prefixes: Sequence[str], names: Sequence[str], weights: WeightSource
) -> tuple[Any, Float32Array, list[int]]:
    """Round the named parts of every layer, and free them: tiled weights, scales and edges."""
    edges = [0]
    packed, scales = [], []
    for prefix in prefixes:
        parts = [weights.weight(f"{prefix}.{name}.weight") for name in names]
        edges = np.cumsum([0, *map(len, parts)]).tolist()
        small, scale = int8.quantize(torch.cat(parts))
        for name in names:
            weights.release(f"{prefix}.{name}.weight")
        packed.append(tiled(small.numpy()))
        scales.append(scale)
    return np.stack(packed), _stacked(scales), edges


def _prefixes(count: int, architecture: Architecture) -> list[str]:
    """What the names of each layer's parameters begin with."""
    return [f"{architecture.layers}.{layer}" for layer in range(count)]


def _layer_norms(
    count: int, architecture: Architecture, weights: WeightSource, head_width: int
) -> dict[str, Any]:
    """Every norm of the layers; those that the family lacks have no rows."""
    prefixes, arrays = _prefixes(count, architecture), dict[str, Any]()
    hidden = len(weights.weight(f"{architecture.final_norm}.weight"))
    widths = dict.fromkeys(NORMS, hidden) | dict.fromkeys(HEAD_NORMS, head_width)
    for kind, width in widths.items():
        name = getattr(architecture.layer, kind)
        arrays[kind] = (
            _norms([f"{prefix}.{name}" for prefix in prefixes], architecture, weights)
            if name
            else np.zeros((0, width), np.float32)
        )
    return arrays


def _norms(names: Sequence[str], architecture: Architecture, weights: WeightSource) -> Float32Array:
    """What the named norms multiply by."""
    norms = _stacked([weights.weight(f"{name}.weight") for name in names])
    return norms + np.float32(architecture.norm_offset) if architecture.norm_offset else norms


def _rotary_tables(
    model: Any, architecture: Architecture, positions: int
) -> tuple[Float32Array, Float32Array, Int64Array]:
    """Cosines and sines, (tables, positions, head width / 2), and the table of each layer."""
    config = model.config
    # Made anew, for the model's own may be on the meta device.
    rotary = type(model.get_submodule(architecture.rotary))(config=config)
    types = _layer_types(config)
    kinds = sorted(set(types)) if architecture.rotary_by_layer_type else [FULL]
    options = [{"layer_type": kind} if architecture.rotary_by_layer_type else {} for kind in kinds]
    at = torch.arange(positions)[None]
    tables = [rotary(torch.zeros(1, 1), at, **option) for option in options]
    half = tables[0][0].shape[-1] // 2
    cos, sin = (torch.stack([table[side][0, :, :half] for table in tables]) for side in (0, 1))
    of_layers = [kinds.index(kind) if len(kinds) > 1 else 0 for kind in types]
    return _array(cos), _array(sin), np.array(of_layers, np.int64)


def _layer_types(config: Any) -> list[str]:
    """The kind of attention of each layer."""
    return getattr(config, "layer_types", None) or [FULL] * config.num_hidden_layers


def _windows(config: Any, positions: int) -> Int64Array:
    """How many positions each layer's tokens attend to."""
    types = _layer_types(config)
    widths = [config.sliding_window if kind == SLIDING else positions for kind in types]
    return np.array(widths, np.int64)


def _head_width(config: Any) -> int:
    width: int = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    return width


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().float().contiguous().numpy()
    return array


def _stacked(tensors: Sequence[Tensor]) -> Float32Array:
    return _array(torch.stack(list(tensors)))
