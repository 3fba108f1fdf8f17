"""Several processes that train one adapter: what each of them holds, and what all must agree on."""

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
from finetune import deepspeed_zero
from finetune.recipe import Recipe

UNSUPPORTED_LAUNCHES = {  # what `accelerate launch` sets -> what to do instead
    ("ACCELERATE_USE_MEGATRON_LM", "true"): "In place of Megatron-LM use --use_fsdp "
    "--fsdp_version 2.",
    ("FSDP_VERSION", "1"): "FSDP version 1 trains all weights. Add --fsdp_version 2.",
    ("FSDP_ACTIVATION_CHECKPOINTING", "true"): "In place of --fsdp_activation_checkpointing use "
    "gradient_checkpointing=true.",
}


def join(recipe: Recipe) -> Accelerator:
    """This process as one of those that `accelerate launch` started, or alone.

    Raises:
        SettingsError: the kind of launch is not supported.
    """
    for (variable, value), advice in UNSUPPORTED_LAUNCHES.items():
        if os.environ.get(variable) == value:
            raise SettingsError(advice)
    if deepspeed_zero.requested():
        return deepspeed_zero.join(recipe)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    state = accelerator.state
    wanted = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if wanted and accelerator.distributed_type == DistributedType.MULTI_CPU:
        # Accelerate takes the flag on GPUs only; PyTorch splits weights on the CPU too.
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
    if accelerator.distributed_type == DistributedType.FSDP:
        state.fsdp_plugin.auto_wrap_policy = transformer_auto_wrap_policy
    return accelerator


def sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds a part of every weight."""
    fsdp = accelerator.distributed_type == DistributedType.FSDP
    return bool(fsdp or deepspeed_zero.stage(accelerator) == 3)


def prepare(
    accelerator: Accelerator, loss: nn.Module, head: nn.Parameter, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Loss and optimizer as the kind of launch needs them.

    Args:
        head: the weight that the loss reads without calling its module.
    """
    if deepspeed_zero.stage(accelerator) == 3:
        deepspeed_zero.share_parameter(head, loss)
    loss, optimizer = accelerator.prepare(loss, optimizer)
    return loss, optimizer


def trained_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """The trained parameters by name, as this process holds them."""
    for module in net.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # after an evaluation some may still stand whole, as copies
    return {name: tensor for name, tensor in net.named_parameters() if tensor.requires_grad}


def gathered(values: Any) -> Any:
    """A tree of values with its tensors complete and on the CPU; all processes must call it."""
    return tree_map_only(Tensor, _gathered_tensor, values)


def _gathered_tensor(tensor: Tensor) -> Tensor:
    if deepspeed_zero.is_split(tensor):
        tensor = deepspeed_zero.gathered(tensor)
    elif isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.detach().cpu().clone()


@torch.no_grad()
def load_values(
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    values: list[tuple[nn.Parameter, Tensor]],
) -> None:
    """Give trained parameters complete values, the same in all processes."""
    if deepspeed_zero.stage(accelerator):
        deepspeed_zero.load_values(optimizer, values)
        return
    for parameter, value in values:
        parameter.copy_(_shard(value, parameter))


def _shard(tensor: Tensor, like: Tensor) -> Tensor:
    """What this process holds of a complete tensor that belongs to the parameter `like`."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def optimizer_state(
    accelerator: Accelerator, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
) -> dict[str, Any]:
    """The state of complete tensors, on the CPU; all processes must call it."""
    if deepspeed_zero.stage(accelerator):
        return deepspeed_zero.optimizer_state(optimizer, parameters)
    state: dict[str, Any] = gathered(optimizer.state_dict())
    return state


def load_optimizer(
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    saved: dict[str, Any],
    learn: Callable[[], Any],
) -> None:
    """Take over such a state, made by any number and kind of processes.

    Args:
        learn: takes the gradient of some examples.
    """
    if deepspeed_zero.stage(accelerator):
        deepspeed_zero.load_optimizer(optimizer, parameters, saved, learn)
        return
    state = {
        i: {key: _shard(v, parameters[i]) if isinstance(v, Tensor) else v for key, v in own.items()}
        for i, own in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": state})


def sum_over_processes(accelerator: Accelerator, numbers: list[float]) -> list[float]:
    """Each number summed over the processes."""
    mine = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    summed: list[float] = accelerator.reduce(mine, "sum").tolist()
    return summed


def from_main_process(accelerator: Accelerator, read: Callable[[], Any]) -> Any:
    """What the main process reads: the run's folder may be on its machine only."""
    return broadcast_object_list([read() if accelerator.is_main_process else None])[0]


@contextmanager
def agreeing_on_stops(accelerator: Accelerator) -> Iterator[Callable[[bool], bool]]:
    """Let the processes agree after each step; with several, Ctrl-C waits for that moment.

    Yields:
        a function to call after each step. Given whether something is due, it returns what the
        main process was given, and raises KeyboardInterrupt where any process was told to stop.
    """
    if accelerator.num_processes == 1:
        yield lambda due: due
        return
    stop = False

    def request_stop(*_: Any) -> None:
        nonlocal stop
        stop = True

    def agree(due: bool) -> bool:
        stops, dues = sum_over_processes(accelerator, [stop, due and accelerator.is_main_process])
        if stops:
            raise KeyboardInterrupt
        return bool(dues)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, request_stop) for kind in kinds]
    try:
        yield agree
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
