"""What the CPU path must know of a model family, one entry each.

A new family is one entry, and a variant in `kernels` for what it computes otherwise: an entry names
what a family needs, and `packing.unsupported` refuses a base that needs more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.kernels import DOWN, GATE_UP, GROUPS, OUT, QKV


def _unscaled(hidden: int) -> float:
    return 1.0


@dataclass(frozen=True)
class LayerNames:
    """Where the parts of a decoder layer stand in transformers' module of it.

    Attributes:
        groups: linear layers that read the same input, by the names of `kernels.GROUPS`.
        biased: groups whose layers may have a bias.
        attention_norm, feed_forward_norm: the norms before both.
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
    query_norm: str | None = None
    key_norm: str | None = None


@dataclass(frozen=True)
class Architecture:
    """How a family's decoder is built. The defaults are Llama's.

    Attributes:
        layer: names of the parts of a layer.
        layers, final_norm: names of the parts around them, in the model.
        rotary: name of what makes the table of rotary positions, one for all layers.
        norm_offset: what RMSNorm adds to its weights; 1 where they are stored around 0.
        activation: of the gate, as configs name it.
        layer_types: which attention the layers have, as configs name it: the whole text, or windows
            of it.
        embedding_scale: hidden width -> what embeddings are multiplied by.
    """

    layer: LayerNames = LayerNames()
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    rotary: str = "model.rotary_emb"
    norm_offset: float = 0.0
    activation: str = "silu"
    layer_types: frozenset[str] = frozenset({"full_attention"})
    embedding_scale: Callable[[int], float] = _unscaled


LLAMA = "llama"
ARCHITECTURES = {  # by `model_type` of their configs
    LLAMA: Architecture(),
    "qwen2": Architecture(),
    "qwen3": Architecture(
        layer=LayerNames(query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
    ),
}
