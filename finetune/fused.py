"""A linear layer and its adapter as one operation with its own gradient.

In float32 the adapter is merged into the weights anew before every step: one product a layer
instead of three. `y = x (W + s B A)^T` is what an adapter computes; PEFT computes
`x W^T + s (x A^T) B^T`, whose thin products keep a processor waiting for memory.

In bfloat16 a merged weight would round the update away, so the thin products stay, in bfloat16 as
well. PEFT computes them in float32 and copies every activation to and fro.

The gradients are those of PEFT; only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from peft.tuners.lora import Linear, LoraLayer
from torch import Tensor, nn

Gradients = tuple[Tensor | None, Tensor, Tensor, None, None]


class _Merged(torch.autograd.Function):
    """x: (..., in); a: (r, in); b: (out, r); weight: (out, in), already `W + scale B A`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, weight: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, a, b)
        ctx.weight, ctx.scale = weight, scale
        return nn.functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Gradients:
        x, a, b = ctx.saved_tensors
        grad, flat = _flat(grads[0]), _flat(x)
        dx = (grad @ ctx.weight).view_as(x) if ctx.needs_input_grad[0] else None
        da = (grad @ b).mul_(ctx.scale).T @ flat
        db = grad.T @ (flat @ a.T).mul_(ctx.scale)
        return dx, da, db, None, None


class _Beside(torch.autograd.Function):
    """x: (..., in) and weight: (out, in) of one type; a: (r, in) and b: (out, r) in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, weight: Tensor, scale: float) -> Tensor:
        down, up = a.to(x.dtype), (b * scale).to(x.dtype)
        flat = _flat(x)
        narrow = flat @ down.T
        ctx.save_for_backward(flat, narrow, down, up)
        ctx.weight, ctx.scale, ctx.shape = weight, scale, x.shape
        out = flat @ weight.T
        return out.addmm_(narrow, up.T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Gradients:
        flat, narrow, down, up = ctx.saved_tensors
        grad = _flat(grads[0])
        inner = grad @ up
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (grad @ ctx.weight).addmm_(inner, down).view(ctx.shape)
        da = (inner.T @ flat).float()
        db = (grad.T @ narrow).float().mul_(ctx.scale)
        return dx, da, db, None, None


def fusable(model: nn.Module) -> bool:
    """Whether it pays and changes nothing: whole weights of one type, plain LoRA.

    On a GPU in bfloat16 only: merging in float32 pays where memory is slow.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    return len({_weight(layer).dtype for layer in layers}) == 1 and all(
        isinstance(layer, Linear)
        and _weight(layer).dtype in (torch.float32, torch.bfloat16)
        and (_weight(layer).device.type == "cpu" or _weight(layer).dtype == torch.bfloat16)
        and not any(layer.use_dora.values())
        and all(isinstance(drop, nn.Identity) for drop in layer.lora_dropout.values())
        for layer in layers
    )


class FusedLayers:
    """Puts the operation in place of a model's linear layers.

    In float32 it holds the merged weights beside the model's own: as much memory again. The model
    then computes with the weights of the last `refresh`.
    """

    def __init__(self, model: nn.Module) -> None:
        layers = [layer for layer in model.modules() if isinstance(layer, Linear)]
        merged = [layer for layer in layers if _weight(layer).dtype == torch.float32]
        self._buffers = [(layer, torch.empty_like(_weight(layer))) for layer in merged]
        for layer, buffer in self._buffers:
            _replace(layer, _Merged.apply, buffer)
        for layer in layers:
            if _weight(layer).dtype != torch.float32:
                _replace(layer, _Beside.apply, _weight(layer))

    @torch.no_grad()
    def refresh(self) -> None:
        """Merge the factors as they are now."""
        for layer, buffer in self._buffers:
            a, b, scale = _factors(layer)
            torch.addmm(_weight(layer), b, a, alpha=scale, out=buffer)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _weight(layer: LoraLayer) -> Tensor:
    return cast(Tensor, layer.get_base_layer().weight)


def _factors(layer: Linear) -> tuple[Tensor, Tensor, float]:
    (name,) = layer.active_adapters
    a, b = (cast(Tensor, side[name].weight) for side in (layer.lora_A, layer.lora_B))
    return a, b, float(layer.scaling[name])


def _replace(layer: Linear, product: Callable[..., Any], weight: Tensor) -> None:
    a, b, scale = _factors(layer)
    bias = cast(Tensor | None, layer.get_base_layer().bias)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = product(x, a, b, weight, scale)
        return out if bias is None else out + bias

    setattr(layer, "forward", forward)  # noqa: B010  (mypy: a method)
