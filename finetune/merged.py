"""The adapter merged into the weights, anew before every step: one product a layer, not three.

`y = x (W + s B A)^T` is what an adapter computes; PEFT computes `x W^T + s (x A^T) B^T`, whose thin
products keep a processor waiting for memory. The gradients are the same; only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from peft.tuners.lora import Linear, LoraLayer
from torch import Tensor, nn


class _Merged(torch.autograd.Function):
    """A linear layer whose gradient goes to the low-rank factors of its weight.

    x: (..., in); a: (r, in); b: (out, r); weight: (out, in), already `W + scale B A`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, weight: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, a, b)
        ctx.weight, ctx.scale = weight, scale
        return nn.functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        flat = x.reshape(-1, x.shape[-1])
        dx = (grad @ ctx.weight).view_as(x) if ctx.needs_input_grad[0] else None
        da = (grad @ b).mul_(ctx.scale).T @ flat
        db = grad.T @ (flat @ a.T).mul_(ctx.scale)
        return dx, da, db, None, None


def mergeable(model: nn.Module) -> bool:
    """Whether it pays and changes nothing: full-precision weights on the CPU, plain LoRA."""
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    return all(
        isinstance(layer, Linear)
        and _weight(layer).dtype == torch.float32
        and _weight(layer).device.type == "cpu"
        and not any(layer.use_dora.values())
        and all(isinstance(drop, nn.Identity) for drop in layer.lora_dropout.values())
        for layer in layers
    )


class Merger:
    """Holds the merged weights of a model in memory beside its own: as much again.

    The model then computes with the weights of the last `refresh`.
    """

    def __init__(self, model: nn.Module) -> None:
        layers = [layer for layer in model.modules() if isinstance(layer, Linear)]
        self._buffers = [(layer, torch.empty_like(_weight(layer))) for layer in layers]
        for layer, buffer in self._buffers:
            setattr(layer, "forward", _forward(layer, buffer))  # noqa: B010  (mypy: a method)

    @torch.no_grad()
    def refresh(self) -> None:
        """Merge the factors as they are now."""
        for layer, buffer in self._buffers:
            a, b, scale = _factors(layer)
            torch.addmm(_weight(layer), b, a, alpha=scale, out=buffer)


def _weight(layer: Linear) -> Tensor:
    return cast(Tensor, layer.get_base_layer().weight)


def _factors(layer: Linear) -> tuple[Tensor, Tensor, float]:
    (name,) = layer.active_adapters
    a, b = (cast(Tensor, side[name].weight) for side in (layer.lora_A, layer.lora_B))
    return a, b, float(layer.scaling[name])


def _forward(layer: Linear, buffer: Tensor) -> Callable[[Tensor], Tensor]:
    a, b, scale = _factors(layer)
    bias = cast(Tensor | None, layer.get_base_layer().bias)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = _Merged.apply(x, a, b, buffer, scale)
        return out if bias is None else out + bias

    return forward
