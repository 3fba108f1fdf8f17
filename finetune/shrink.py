"""A smaller adapter with the largest parts of a larger one's update."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def shrunk(adapter: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The nearest update of at most that rank, layer by layer, by singular values.

    Eckart and Young, "The approximation of one matrix by another of lower rank", 1936.

    Args:
        adapter: of every layer a `lora_A`, (rank, in), and a `lora_B`, (out, rank).
        rank: of what is returned.
    """
    smaller = dict(adapter)
    for name in adapter:
        if ".lora_A." not in name:
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        a, b = adapter[name].float(), adapter[other].float()
        (q_a, r_a), (q_b, r_b) = torch.linalg.qr(a.T), torch.linalg.qr(b)
        u, sizes, v = torch.linalg.svd(r_b @ r_a.T)
        root = sizes[:rank].sqrt()
        smaller[name] = ((q_a @ v[:rank].T) * root).T.contiguous()
        smaller[other] = ((q_b @ u[:, :rank]) * root).contiguous()
    return smaller
