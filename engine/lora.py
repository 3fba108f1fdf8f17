"""Patch points: every linear layer of the base can add the low-rank update of one adapter.

The adapter of a forward pass is named by `Switch.weights`, set by whoever runs the pass. Nothing
is written into the base, so switching costs nothing and no adapter leaves a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Module name -> (A, B); A is (rank, in), B (out, rank) with the scaling alpha / rank (rsLoRA:
alpha / sqrt(rank)) multiplied in. Hu et al. 2021, arXiv 2106.09685; Kalajdzievski 2023, arXiv
2312.03732."""


@dataclass(frozen=True, eq=False)
class LoraWeights:
    """One adapter, ready to run; equal only to itself.

    Attributes:
        layers: its factors in the form that the base runs them in, see `Base.lay_out`.
        fingerprint: hash of its files.
        size: bytes in memory.
    """

    layers: Any
    fingerprint: str
    size: int = 0


class Switch:
    """Which adapter the next forward pass uses; None is the bare base.

    `shapes` has (out, in) of every layer that an adapter may change.
    """

    def __init__(self, shapes: dict[str, tuple[int, int]]) -> None:
        self.shapes = shapes
        self.weights: LoraWeights | None = None

    @contextmanager
    def to(self, weights: LoraWeights | None) -> Iterator[None]:
        """Use the adapter inside the `with` block."""
        before, self.weights = self.weights, weights
        try:
            yield
        finally:
            self.weights = before


class PatchPoint(nn.Module):
    """A linear layer plus B A x of the adapter that the switch names, if it has this layer."""

    def __init__(self, linear: nn.Module, name: str, switch: Switch) -> None:
        super().__init__()
        self.linear = linear
        self.name = name
        self.switch = switch

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        out: Tensor = self.linear(x)
        weights = self.switch.weights
        if weights is not None and (pair := weights.layers.get(self.name)):
            down, up, *mask = pair  # a batch with several adapters lets each text through its own
            narrow = F.linear(x.to(down.dtype), down)
            for own in mask:
                narrow = narrow * own
            out = out + F.linear(narrow, up).to(out.dtype)
        return out


def shapes(model: nn.Module) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer but the output head, by name."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if hasattr(module, "in_features") and module is not head
    }


def patch(model: nn.Module) -> Switch:
    """Put a patch point at every linear layer but the output head, in place.

    Returns:
        the switch they all listen to.
    """
    switch = Switch(shapes(model))
    for name in switch.shapes:
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, child, PatchPoint(getattr(owner, child), name, switch))
    return switch
