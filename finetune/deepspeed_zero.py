"""DeepSpeed's ZeRO splits the optimizer's state over processes, and at stage 3 the weights too."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from core.errors import SettingsError
from finetune.recipe import Recipe

MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's, one value each for every parameter's value


def requested() -> bool:
    """Whether `accelerate launch` was told to use DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"


def join(recipe: Recipe) -> Accelerator:
    """This process as one of those that were launched.

    Raises:
        SettingsError: see `check`.
    """
    # DeepSpeed calls PyTorch by names that will go; it would say so at every step.
    warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)
    # Accelerate names no backend for DeepSpeed without a GPU: each process would be alone.
    handlers = [] if torch.cuda.is_available() else [InitProcessGroupKwargs(backend="gloo")]
    accelerator = Accelerator(kwargs_handlers=handlers)
    config = accelerator.deepspeed_plugin.deepspeed_config
    check(config, accelerator.gradient_accumulation_steps)
    config["gradient_clipping"] = recipe.clip
    config["train_micro_batch_size_per_gpu"] = recipe.batch
    config["train_batch_size"] = recipe.batch * accelerator.num_processes
    unset_hf_deepspeed_config()  # at stage 3 it would read every base as float32
    return accelerator


def check(config: dict[str, Any], accumulated: int) -> None:
    """Look in DeepSpeed's configuration for what the recipe decides and for what is not tested.

    Args:
        config: as Accelerate completes it.
        accumulated: batches to a step.

    Raises:
        SettingsError: there is something; the message says what to change.
    """
    zero = config["zero_optimization"]
    offload_devices = [
        zero.get(f"offload_{what}", {}).get("device") for what in ("optimizer", "param")
    ]
    refused = {
        "Of ZeRO's stages use 2, or 3 for a base too large for one GPU: --zero_stage 2.": (
            zero["stage"] not in (2, 3)
        ),
        "Set offload_optimizer_device and offload_param_device to none.": (
            any(device not in (None, "none") for device in offload_devices)
        ),
        "Set mixed_precision to no: the recipe's dtype says what is computed in.": (
            any(config[kind]["enabled"] for kind in ("bf16", "fp16"))
        ),
        "Set gradient_accumulation_steps to 1 and the recipe's batch to more.": accumulated != 1,
        "Take optimizer and scheduler out of DeepSpeed's file: the recipe sets them.": (
            "optimizer" in config or "scheduler" in config
        ),
    }
    for advice, present in refused.items():
        if present:
            raise SettingsError(advice)


def stage(accelerator: Accelerator) -> int:
    """The stage of ZeRO, 0 without DeepSpeed."""
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return 0
    return int(accelerator.deepspeed_plugin.deepspeed_config["zero_optimization"]["stage"])


def share_parameter(parameter: nn.Parameter, reader: nn.Module) -> None:
    """Let a module read a parameter of another one that will be split."""
    import deepspeed

    deepspeed.zero.register_external_parameter(reader, parameter)


def is_split(tensor: Tensor) -> bool:
    """Whether this process holds a part of it only, by stage 3."""
    return hasattr(tensor, "ds_id")


def gathered(parameter: Tensor) -> Tensor:
    """A trained parameter that is split, whole; all processes must call it."""
    from deepspeed.utils import safe_get_full_fp32_param

    whole: Tensor = safe_get_full_fp32_param(parameter)
    return whole


def load_values(optimizer: Any, values: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Give trained parameters complete values, the same in all processes."""
    import deepspeed

    with deepspeed.zero.GatheredParameters([p for p, _ in values], modifier_rank=0):
        for parameter, value in values:
            parameter.data.copy_(value)
    optimizer.optimizer.refresh_fp32_params()  # what the next step starts from


def optimizer_state(optimizer: Any, parameters: list[nn.Parameter]) -> dict[str, Any]:
    """The state as without DeepSpeed, on the CPU; all processes must call it."""
    from deepspeed.utils import safe_get_full_optimizer_state

    plain = optimizer.optimizer.optimizer
    (step,) = {float(own["step"]) for own in plain.state.values()}
    state = {
        i: {"step": torch.tensor(step)}
        | {key: safe_get_full_optimizer_state(parameter, key).cpu() for key in MOMENTS}
        for i, parameter in enumerate(parameters)
    }
    group = plain.param_groups[0] | {"params": list(range(len(parameters)))}
    return {"state": state, "param_groups": [group]}


def load_optimizer(
    optimizer: Any, parameters: list[nn.Parameter], saved: dict[str, Any], learn: Callable[[], Any]
) -> None:
    """Take over such a state.

    Args:
        learn: takes a step on some examples.
    """
    from deepspeed.utils import safe_set_full_optimizer_state

    for group in optimizer.param_groups:
        group["lr"] = 0.0
    learn()  # ZeRO makes room for a state in its first step; without a rate it changes nothing else
    for i, parameter in enumerate(parameters):
        for key in MOMENTS:
            value = saved["state"][i][key].to(parameter.device)
            safe_set_full_optimizer_state(parameter, value, key)
    for own in optimizer.optimizer.optimizer.state.values():
        own["step"].fill_(saved["state"][0]["step"])
