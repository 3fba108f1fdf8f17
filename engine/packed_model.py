"""A base as 8-bit arrays, and the file that it is kept in.

Rounding takes seconds and three times the memory of what comes out; a file of it is mapped in tens
of milliseconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core import fingerprint
from engine.architectures import ACTIVATIONS, ARCHITECTURES, LLAMA, Architecture
from engine.kernels.layout import LANES, LAYOUT, DecoderWeights, Float32Array, untiled_rows

FORMAT = f"3-{LAYOUT}"  # of the file; another one makes it anew


@dataclass(frozen=True)
class PackedConfig:
    """What is known of a base beside its arrays.

    Attributes:
        edges: of each group of layers, where each one's rows begin, and where the last one's end.
        key_heads: heads of keys and of values; each is `head_width` wide.
        vocabulary: tokens; the head's rows are padded to a multiple of 16.
        lora_shapes: (out, in) of every layer that an adapter may change, by its name in the base.
        end_tokens: ids that end an answer, as the base's generation settings name them.
        epsilon: of the norms.
        model_type: its family, see `engine.architectures`.
    """

    edges: dict[str, list[int]]
    key_heads: int
    head_width: int
    vocabulary: int
    lora_shapes: dict[str, tuple[int, int]]
    end_tokens: list[int]
    epsilon: float
    model_type: str = LLAMA


@dataclass(frozen=True)
class PackedModel:
    """A base's weights and what is known of them; `embedding` where it is not tied to the head."""

    weights: DecoderWeights
    config: PackedConfig
    embedding: Tensor | None

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.weights.out)

    @property
    def architecture(self) -> Architecture:
        """What its family needs."""
        return ARCHITECTURES[self.config.model_type]

    def embed(self, ids: Sequence[int]) -> Float32Array:
        """(tokens, H) float32."""
        at = np.array(ids)
        if self.embedding is not None:
            rows: Float32Array = self.embedding.numpy()[at]
            return rows
        return untiled_rows(self.weights.head, at) * self._embedding_scale[at, None]

    @cached_property
    def _embedding_scale(self) -> Float32Array:
        """Of each row of the head, what its bytes are multiplied by to be an embedding."""
        hidden = self.weights.out.shape[1] * LANES
        scale: Float32Array = self.weights.head_scale
        times = self.architecture.embedding_scale(hidden)
        return scale if times == 1 else scale * np.float32(times)


def save(packed: PackedModel, file: Path) -> None:
    """Write it whole or not at all, its hash beside it.

    Raises:
        OSError: the disk is full or not to be written.
    """
    arrays = packed.weights._asdict()
    tensors = {
        name: torch.from_numpy(array)
        for name, array in arrays.items()
        if isinstance(array, np.ndarray)
    }
    if packed.embedding is not None:
        tensors["embedding"] = packed.embedding
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        save_file(tensors, partial, {"config": json.dumps(asdict(packed.config))})
        _hash_of(file).write_text(fingerprint.sha256_file(partial))
        partial.replace(file)
    except SafetensorError as error:  # what the library makes of a full disk
        raise OSError(str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def load(file: Path) -> PackedModel | None:
    """What `save` wrote, mapped and not copied; None where there is none that is whole."""
    try:
        if fingerprint.sha256_file(file) != _hash_of(file).read_text():
            return None
        with safe_open(file, "pt") as opened:
            stored = json.loads(opened.metadata()["config"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    embedding = tensors.pop("embedding", None)
    arrays: dict[str, NDArray[Any]] = {name: value.numpy() for name, value in tensors.items()}
    shapes = {name: tuple(shape) for name, shape in stored.pop("lora_shapes").items()}
    config = PackedConfig(**stored, lora_shapes=shapes)
    activation = ACTIVATIONS[ARCHITECTURES[config.model_type].activation]
    weights = DecoderWeights(**arrays, activation=activation, epsilon=config.epsilon)
    return PackedModel(weights, config, embedding)


def spans(edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(begin, end) of each part."""
    return pairwise(edges)


def _hash_of(file: Path) -> Path:
    return file.with_suffix(".sha256")
