"""Several processes that train one adapter: FSDP's split weights, and what all must agree on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import FullyShardedDataParallelPlugin, broadcast_object_list
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from core.errors import SettingsError

REFUSED = {  # what `accelerate launch` sets -> what to do instead
    ("ACCELERATE_USE_DEEPSPEED", "true"): "In place of DeepSpeed use --use_fsdp --fsdp_version 2: "
    "it splits the base's weights over the processes as ZeRO 3 does.",
    ("ACCELERATE_USE_MEGATRON_LM", "true"): "In place of Megatron-LM use --use_fsdp "
    "--fsdp_version 2.",
    ("FSDP_VERSION", "1"): "FSDP version 1 trains all weights. Add --fsdp_version 2.",
    ("FSDP_ACTIVATION_CHECKPOINTING", "true"): "In place of --fsdp_activation_checkpointing use "
    "gradient_checkpointing=true.",
}


def join() -> Accelerator:
    """This process as one of those that `accelerate launch` started, or alone.

    Raises:
        SettingsError: the kind of launch is not supported.
    """
    for (variable, value), instead in REFUSED.items():
        if os.environ.get(variable) == value:
            raise SettingsError(instead)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    state = accelerator.state
    wanted = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if wanted and accelerator.distributed_type == DistributedType.MULTI_CPU:
        # Accelerate takes the flag on GPUs only; PyTorch splits weights on the CPU too.
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
    if sharded(accelerator):
        state.fsdp_plugin.auto_wrap_policy = transformer_auto_wrap_policy
    return accelerator


def sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds a part of every weight."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def trained(net: nn.Module) -> dict[str, Tensor]:
    """The trained parameters by name, as this process holds them."""
    for module in net.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # after an evaluation some may still stand whole, as copies
    return {name: tensor for name, tensor in net.named_parameters() if tensor.requires_grad}


def whole(values: Any) -> Any:
    """A tree of values with its tensors complete and on the CPU; all processes must call it."""
    return tree_map_only(Tensor, _gathered, values)


def _gathered(tensor: Tensor) -> Tensor:
    complete = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return complete.detach().cpu().clone()


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process holds of a complete tensor that belongs to the parameter `like`."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take over a state of complete tensors, made by any number of processes."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        i: {key: part(v, parameters[i]) if isinstance(v, Tensor) else v for key, v in own.items()}
        for i, own in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": state})


def total(accelerator: Accelerator, numbers: list[float]) -> list[float]:
    """Each number summed over the processes."""
    mine = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    summed: list[float] = accelerator.reduce(mine, "sum").tolist()
    return summed


def from_main(accelerator: Accelerator, read: Callable[[], Any]) -> Any:
    """What the main process reads: the run's folder may be on its machine only."""
    return broadcast_object_list([read() if accelerator.is_main_process else None])[0]


@contextmanager
def in_step(accelerator: Accelerator) -> Iterator[Callable[[bool], bool]]:
    """Let the processes agree after each step; with several, Ctrl-C waits for that moment.

    Yields:
        a function to call after each step. Given whether something is due, it returns what the
        main process was given, and raises KeyboardInterrupt where any process was told to stop.
    """
    if accelerator.num_processes == 1:
        yield lambda due: due
        return
    stop = False

    def told(*_: Any) -> None:
        nonlocal stop
        stop = True

    def meet(due: bool) -> bool:
        stops, dues = total(accelerator, [stop, due and accelerator.is_main_process])
        if stops:
            raise KeyboardInterrupt
        return bool(dues)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, told) for kind in kinds]
    try:
        yield meet
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
