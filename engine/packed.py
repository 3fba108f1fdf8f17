"""A Llama-like base as 8-bit arrays: taken out of a transformers model, kept in a file, read back.

Rounding takes seconds and three times the memory of what comes out; a file of it is mapped in tens
of milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core import fingerprint
from engine import int8
from engine.kernels import BYTES, LANES, LAYOUT, PART, Floats, Weights, some_rows, tiled
from engine.lora import linear_shapes

FORMAT = f"2-{LAYOUT}"  # of the file; another one makes it anew
KINDS = ("llama", "qwen2", "qwen3")
GROUPS = {  # layers that read the same input, by their names in the base
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass(frozen=True)
class Facts:
    """What is known of a base beside its arrays.

    Attributes:
        edges: of each group, where each part's rows begin, and where the last one ends.
        key_heads: heads of keys and of values, and the `width` of each.
        vocabulary: tokens; the head's rows are padded to a multiple of 16.
        shapes: (out, in) of every layer that an adapter may change, by its name in the base.
        ends: token ids that end an answer, as the base's generation settings name them.
    """

    edges: dict[str, list[int]]
    key_heads: int
    width: int
    vocabulary: int
    shapes: dict[str, tuple[int, int]]
    ends: list[int]
    epsilon: float


@dataclass(frozen=True)
class Packed:
    """A base's weights and what is known of them; `embedding` where it is not tied to the head."""

    weights: Weights
    facts: Facts
    embedding: Tensor | None

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.weights.out)

    def embed(self, ids: Sequence[int]) -> Floats:
        """(tokens, H) float32."""
        at = np.array(ids)
        if self.embedding is not None:
            rows: Floats = self.embedding.numpy()[at]
            return rows
        return some_rows(self.weights.head, at) * self.weights.head_scale[at, None]


def unsupported(model: Any) -> str | None:
    """Why the base cannot be packed; None when it can."""
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
    for name in (name for group in GROUPS.values() for name in group):
        made, read = _of(layer, name).weight.shape
        if made % LANES or (BYTES and read % PART):
            return f"{name} is {made} by {read}, not multiples of {LANES} and {PART}"
    plain = (name for group in ("out", "gate_up", "down") for name in GROUPS[group])
    biased = next((name for name in plain if _of(layer, name).bias is not None), None)
    return f"{biased} has a bias" if biased else None


def pack(model: Any, positions: int) -> Packed:
    """Round a model that is not `unsupported` to 8 bits. It loses its layers.

    Args:
        model: a float32 base.
        positions: the longest text it will read, in tokens.
    """
    config, layers = model.config, model.model.layers
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    known = linear_shapes(model)
    attention = [layer.self_attn for layer in layers]
    cos, sin = _rotation(model.model.rotary_emb, positions)
    head = model.get_output_embeddings().weight.requires_grad_(False)
    embedding = model.get_input_embeddings().weight
    small, scale = int8.quantize(head.data)  # an embedding tied to it is rounded with it
    spare = -len(head) % LANES
    biases = _biases(layers)
    arrays: dict[str, Any] = {}
    edges: dict[str, list[int]] = {}
    for name, parts in GROUPS.items():
        arrays[name], arrays[f"{name}_scale"], edges[name] = _take(layers, parts)
    epsilon = float(config.rms_norm_eps)
    weights = Weights(
        **arrays,
        qkv_bias=biases,
        head=tiled(np.pad(small.numpy(), ((0, spare), (0, 0)))),
        head_scale=np.pad(_floats(scale), (0, spare)),
        before=_rows([layer.input_layernorm.weight for layer in layers]),
        between=_rows([layer.post_attention_layernorm.weight for layer in layers]),
        end=_floats(model.model.norm.weight),
        query_norm=_norms(attention, "q_norm", width),
        key_norm=_norms(attention, "k_norm", width),
        cos=cos,
        sin=sin,
        epsilon=epsilon,
    )
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    facts = Facts(
        edges=edges,
        key_heads=config.num_key_value_heads,
        width=width,
        vocabulary=len(head),
        shapes=known,
        ends=[end for end in ends if end is not None],
        epsilon=epsilon,
    )
    model.model.layers = nn.ModuleList()
    return Packed(weights, facts, None if embedding is head else embedding.detach().float())


def smallest() -> Packed:
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


def save(packed: Packed, file: Path) -> None:
    """Write it whole or not at all, its hash beside it.

    Raises:
        OSError: the disk is full or not to be written.
    """
    arrays = packed.weights._asdict()
    arrays.pop("epsilon")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if packed.embedding is not None:
        tensors["embedding"] = packed.embedding
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        save_file(tensors, partial, {"facts": json.dumps(asdict(packed.facts))})
        _hash_of(file).write_text(fingerprint.sha256_file(partial))
        partial.replace(file)
    except SafetensorError as error:  # what the library makes of a full disk
        raise OSError(str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def load(file: Path) -> Packed | None:
    """What `save` wrote, mapped and not copied; None where there is none that is whole."""
    try:
        if fingerprint.sha256_file(file) != _hash_of(file).read_text():
            return None
        with safe_open(file, "pt") as opened:
            known = json.loads(opened.metadata()["facts"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    embedding = tensors.pop("embedding", None)
    arrays: dict[str, NDArray[Any]] = {name: value.numpy() for name, value in tensors.items()}
    known["shapes"] = {name: tuple(shape) for name, shape in known["shapes"].items()}
    facts = Facts(**known)
    return Packed(Weights(**arrays, epsilon=facts.epsilon), facts, embedding)


def spans(edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(begin, end) of each part."""
    return pairwise(edges)


def _hash_of(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _take(layers: Sequence[nn.Module], names: Sequence[str]) -> tuple[Any, Floats, list[int]]:
    """Round the named parts of every layer, and free them: tiled weights, scales and edges."""
    edges = np.cumsum([0, *(len(_of(layers[0], name).weight) for name in names)]).tolist()
    packed, scales = [], []
    for layer in layers:
        weights = [_of(layer, name).weight for name in names]
        small, scale = int8.quantize(torch.cat([part.data for part in weights]))
        for part in weights:
            part.data = torch.empty(0)
        packed.append(tiled(small.numpy()))
        scales.append(scale)
    return np.stack(packed), _rows(scales), edges


def _of(layer: nn.Module, name: str) -> Any:
    return layer.get_submodule(name)


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
