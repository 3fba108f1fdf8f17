"""8-bit weights on the CPU: one scale a row, a packed kernel to decode, a dense one to prefill."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW_ROWS = 4  # up to here reading the weights is the cost, and 8-bit ones are read 4 times faster


class Int8Linear(nn.Module):
    """A linear layer with int8 weights.

    Few rows (decoding) go through torch's packed int8 kernel in bfloat16. Many rows (prompts) go
    through the same weights dequantized to float32: on processors without matrix units that is
    several times faster than the packed kernel, for 5 bytes a weight instead of 1.

    Attributes:
        weight: (out, in) float32, the dequantized weights; `packed` is int8, `scale` (out,).
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        packed, scale = quantize(linear.weight.detach())
        self.register_buffer("packed", packed)
        self.register_buffer("scale", scale.to(torch.bfloat16))
        self.weight = linear.weight  # the same Parameter: a tied embedding changes with it
        self.weight.data = dequantize(packed, self.scale)
        self.weight.requires_grad_(False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the dtype of `x`."""
        rows = x.reshape(-1, self.in_features)
        if len(rows) > FEW_ROWS:
            return F.linear(x, self.weight, self.bias)
        out = torch._weight_int8pack_mm(rows.to(torch.bfloat16), self.packed, self.scale)
        out = out.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to int8 with its own scale.

    Args:
        weight: (out, in) floating point.

    Returns:
        (out, in) int8 and (out,) scales such that `int8 * scale` is about the weight. The scale
        is one that bfloat16 holds exactly, so both kernels compute with the same weights.
    """
    scale = (weight.float().abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16).float()
    packed = (weight.float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return packed.contiguous(), scale


def dequantize(packed: Tensor, scale: Tensor) -> Tensor:
    """The float32 weights, (out, in), that the packed ones stand for."""
    return packed.float() * scale.float()[:, None]


def quantize_model(model: nn.Module) -> None:
    """Replace every linear layer, in place. A head tied to the embedding stays tied to it."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
