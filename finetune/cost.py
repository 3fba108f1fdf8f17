"""How long a training will take and how much memory it needs, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from finetune.model import Batch

# Measured on two AVX2 cores with the starter base: what a step takes beyond its matrix products
# (attention, norms, activations, the narrow products of the adapter).
OVERHEAD = 1.4
RUNTIME_BYTES = 0.9e9  # bytes that Python, torch and the tokenizer take


@dataclass(frozen=True)
class ModelShape:
    """What the cost depends on, from the base's config.

    Attributes:
        weights: parameters of the linear layers; `all_weights` adds embedding and head.
        layers, hidden, inner, vocabulary: sizes.
    """

    weights: int
    all_weights: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, source: str, **options: Any) -> ModelShape:
        """The sizes of a base, without loading its weights."""
        config = AutoConfig.from_pretrained(source, **options)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        head = model.get_output_embeddings()
        linear = sum(
            m.weight.numel()
            for m in model.modules()
            if isinstance(m, torch.nn.Linear) and m is not head
        )
        whole = sum(p.numel() for p in model.parameters())
        return cls(
            linear,
            whole,
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.vocab_size,
        )


def speed() -> float:
    """Floating-point operations a second of this machine now, by a short matrix product."""
    a, b = torch.randn(512, 576), torch.randn(576, 1536)
    a @ b
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < 0.3:
        a @ b
        rounds += 1
    return rounds * 2 * 512 * 576 * 1536 / (time.perf_counter() - began)


def seconds(shape: ModelShape, tokens: int, answers: int, trained: float, flops: float) -> float:
    """Time of a training.

    Args:
        tokens: positions computed in all.
        answers: positions that go through the vocabulary projection.
        trained: share of the layers that gradients flow through.
        flops: the machine's `speed`.
    """
    body = 2 * shape.weights * tokens * (1 + trained)
    head = 4 * shape.hidden * shape.vocabulary * answers
    return OVERHEAD * (body + head) / flops


def memory(shape: ModelShape, batch: Batch, trained: float, rank: int, width: float) -> float:
    """Peak bytes of a training whose largest batch is `batch`.

    Args:
        width: bytes of a base weight (4 float32, 2 bfloat16, about 0.55 nf4).
    """
    # What a layer keeps of a position for the backward pass.
    saved_floats = 14 * shape.hidden + 6 * shape.inner
    activations = 4 * batch.tokens * shape.layers * trained * saved_floats
    head = 4 * 3 * len(batch.at) * shape.vocabulary
    adapter = 4 * 4 * rank * shape.layers * trained * (8 * shape.hidden + 4 * shape.inner)
    merged = 4 * shape.weights * trained if width == 4 else 0  # see finetune/fused.py
    return RUNTIME_BYTES + width * shape.all_weights + activations + head + adapter + merged


def source_options(source: str, revision: str) -> dict[str, Any]:
    """What `Shape.of` needs besides the source of a base."""
    return {} if Path(source).is_dir() else {"revision": revision}
