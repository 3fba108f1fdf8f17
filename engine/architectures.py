"""What the CPU path must know of a model family, one entry each.

A new family is one entry, and a variant in `kernels` for what it computes otherwise: an entry names
what a family needs, and `packing.unsupported` refuses a base that needs more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.kernels.layout import DOWN, GATE_UP, GELU_TANH, GROUPS, OUT, QKV, SILU

FULL, SLIDING = "full_attention", "sliding_attention"  # as configs name them


def _unscaled(hidden: int) -> float:
    return 1.0


@dataclass(frozen=True)
class LayerNames:
    """Where the parts of a decoder layer stand in transformers' module of it.

    Attributes:
        groups: linear layers that read the same input, by the names of `kernels.layout.GROUPS`.
        biased: groups whose layers may have a bias.
        attention_norm, feed_forward_norm: the norms before both.
        post_attention_norm, post_feed_forward_norm: those after them, where the family has them.
        query_norm, key_norm: norms of each head, where the family has them.
    """

    groups: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            GROUPS[QKV]: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            GROUPS[OUT]: ("self_attn.o_proj",),
            GROUPS[GATE_UP]: ("mlp.gate_proj", "mlp.up_proj"),
            GROUPS[DOWN]: ("mlp.down_proj",),
        }
    )
    biased: frozenset[str] = frozenset({GROUPS[QKV]})
    attention_norm: str = "input_layernorm"
    feed_forward_norm: str = "post_attention_layernorm"
    post_attention_norm: str | None = None
    post_feed_forward_norm: str | None = None
    query_norm: str | None = None
    key_norm: str | None = None


@dataclass(frozen=True)
class Architecture:
    """How a family's decoder is built. The defaults are Llama's.

    Attributes:
        layer: names of the parts of a layer.
        layers, final_norm, embedding, head: names of the parts around them, in the model.
        rotary: name of what makes the tables of rotary positions.
        norm_offset: what RMSNorm adds to its weights; 1 where they are stored around 0.
        activation: of the gate, as configs name it under `activation_key`.
        layer_types: which attention the layers have, as configs name it: the whole text, or windows
            of it.
        rotary_by_layer_type: whether each kind of attention has a table of its own.
        embedding_scale: hidden width -> what embeddings are multiplied by.
    """

    layer: LayerNames = LayerNames()
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    embedding: str = "model.embed_tokens"
    head: str = "lm_head"
    rotary: str = "model.rotary_emb"
    norm_offset: float = 0.0
    activation: str = "silu"
    activation_key: str = "hidden_act"
    layer_types: frozenset[str] = frozenset({FULL})
    rotary_by_layer_type: bool = False
    embedding_scale: Callable[[int], float] = _unscaled


LLAMA = "llama"
ACTIVATIONS = {"silu": SILU, "gelu_pytorch_tanh": GELU_TANH}
ARCHITECTURES = {  # by `model_type` of their configs
    LLAMA: Architecture(),
    "qwen2": Architecture(),
    "qwen3": Architecture(
        layer=LayerNames(query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
    ),
    "gemma3_text": Architecture(
        layer=LayerNames(
            query_norm="self_attn.q_norm",
            key_norm="self_attn.k_norm",
            post_attention_norm="post_attention_layernorm",
            feed_forward_norm="pre_feedforward_layernorm",
            post_feed_forward_norm="post_feedforward_layernorm",
        ),
        norm_offset=1.0,
        activation="gelu_pytorch_tanh",
        activation_key="hidden_activation",
        layer_types=frozenset({FULL, SLIDING}),
        rotary_by_layer_type=True,
        embedding_scale=math.sqrt,
    ),
}
