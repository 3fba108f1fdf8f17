"""LoRA on a transformers base: every linear layer can add the low-rank update of one adapter.

The adapter of a forward pass is named by `ActiveAdapter`, set by whoever runs the pass. Nothing is
written into the base, so switching costs nothing and no adapter leaves a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

LoraFactors = dict[str, tuple[Tensor, Tensor]]
"""Layer name -> (A, B); A is (rank, in), B (out, rank) with the scaling alpha / rank (rsLoRA:
alpha / sqrt(rank)) multiplied in. Hu et al. 2021, arXiv 2106.09685; Kalajdzievski 2023, arXiv
2312.03732."""


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """One adapter, ready to run; equal only to itself.

    Attributes:
        weights: its factors in the form that the base runs them in, see `BaseModel.prepare_lora`.
        fingerprint: hash of its files.
        nbytes: bytes in memory.
    """

    weights: Any
    fingerprint: str
    nbytes: int = 0


class ActiveAdapter:
    """Which adapter the next forward pass of a model uses; `adapter` None is the bare base."""

    def __init__(self) -> None:
        self.adapter: LoraAdapter | None = None

    @contextmanager
    def using(self, adapter: LoraAdapter | None) -> Iterator[None]:
        """Use the adapter inside the `with` block."""
        before, self.adapter = self.adapter, adapter
        try:
            yield
        finally:
            self.adapter = before


class LoraLinear(nn.Module):
    """A linear layer plus B A x of the active adapter, if that has this layer."""

    def __init__(self, linear: nn.Module, name: str, active: ActiveAdapter) -> None:
        super().__init__()
        self.linear = linear
        self.name = name
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.linear(x)
        adapter = self.active.adapter
        if adapter is not None and (factors := adapter.weights.get(self.name)):
            a, b, *mask = factors  # a batch with several adapters lets each text through its own
            hidden = F.linear(x.to(a.dtype), a)
            for own in mask:
                hidden = hidden * own
            out = out + F.linear(hidden, b).to(out.dtype)
        return out


def linear_shapes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer but the output head, by name."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if hasattr(module, "in_features") and module is not head
    }


def add_lora_layers(model: nn.Module) -> ActiveAdapter:
    """Put a `LoraLinear` in place of every linear layer but the output head.

    Returns:
        the choice of adapter that they all listen to.
    """
    active = ActiveAdapter()
    for name in linear_shapes(model):
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, child, LoraLinear(getattr(owner, child), name, active))
    return active
