"""8-bit weights on the CPU: one scale a row, a packed kernel for few rows, a dense one for many."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn import functional as F

OPENMP = ThreadpoolController().select(user_api="openmp")  # what torch shares its work out with
CHUNK_ROWS = 256
FEW_ROWS = 4  # up to here reading the weights is the cost, and 8-bit ones are read 4 times faster


class Int8Linear(nn.Module):
    """A linear layer with int8 weights.

    Few rows go through torch's packed int8 kernel in bfloat16. Many rows (prompts) go through the
    same weights dequantized, several times faster than the packed kernel: to bfloat16 where the
    processor multiplies it, for 3 bytes a weight instead of 1, and to float32 elsewhere, for 5.

    Attributes:
        weight: (out, in), the dequantized weights; `packed` is int8, `scale` (out,).
    """

    packed: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear, bfloat16: bool = False) -> None:
        """`bfloat16`: prompts in that. Else the weight stays one with a tied embedding's."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.requires_grad_(False)
        packed, scale = quantize(weight.data)
        if bfloat16:
            weight = nn.Parameter(weight.to(torch.bfloat16), requires_grad=False)
        self.weight = weight
        self.register_buffer("packed", packed)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the dtype of `x`."""
        rows = x.reshape(-1, self.in_features)
        if len(rows) > FEW_ROWS:
            out = F.linear(x.to(self.weight.dtype), self.weight).to(x.dtype)
            return out if self.bias is None else out + self.bias
        out = torch._weight_int8pack_mm(rows.to(torch.bfloat16), self.packed, self.scale)
        out = out.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to int8 with its own scale, and the weight itself to what that stands for.

    Works a few rows at a time: fresh memory costs more here than arithmetic.

    Args:
        weight: (out, in) float32; changed in place to `int8 * scale`.

    Returns:
        (out, in) int8 and (out,) bfloat16 scales, so that both kernels compute with one weight.
    """
    packed = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight), dtype=torch.bfloat16)
    for start in range(0, len(weight), CHUNK_ROWS):
        rows = weight[start : start + CHUNK_ROWS]
        scale = (rows.abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16)
        scales[start : start + CHUNK_ROWS] = scale
        rows.div_(scale.float()[:, None]).round_().clamp_(-127, 127)
        packed[start : start + CHUNK_ROWS] = rows
        rows.mul_(scale.float()[:, None])
    return packed, scales


def one_thread() -> AbstractContextManager[None]:
    """Run small operators of the calling thread on one core.

    Where reading memory is the cost a second core gains a tenth, and loses half as soon as
    anything else wants it (measured while decoding: 18 against 11 tokens per second). Other
    threads keep theirs: `torch.set_num_threads` would set what those started meanwhile begin with.
    """
    limited: AbstractContextManager[None] = OPENMP.limit(limits=1)
    return limited


def quantize_model(model: nn.Module) -> None:
    """Replace every linear layer, in place. A head tied to the embedding stays tied to it."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    bfloat16 = torch.cpu._is_avx512_bf16_supported()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child, bfloat16 and child is not head))
