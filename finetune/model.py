"""The base with a trainable adapter on it, and the loss on answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as hub_logging

from core.errors import SetupError
from engine import starter_store
from engine.chat_template import ChatTemplate
from engine.starter import find_starter
from finetune.examples import Example, ExampleEncoder
from finetune.fused import FusedLayers, fusable
from finetune.recipe import Recipe
from finetune.warm_start import start_folder
from tasks.spec import TaskSpec

EAGER_TOKENS = 128  # on the CPU plain products beat torch's fused attention up to some such length
HEAD_ROWS, GPU_HEAD_ROWS = 64, 1024  # positions whose logits stand in memory together


@dataclass(frozen=True)
class TrainableModel:
    """A base with its adapter.

    Attributes:
        model: the PEFT model.
        tokenizer: of the base.
        base_name: what the adapter's config names as its base.
    """

    model: Any
    tokenizer: Any
    base_name: str


def encoder(tokenizer: Any, task: TaskSpec) -> ExampleEncoder:
    """The examples' maker for a base's tokenizer."""
    template = ChatTemplate(tokenizer)
    return ExampleEncoder(
        task,
        template.prompt_ids,
        lambda texts: tokenizer(list(texts), add_special_tokens=False).input_ids,
        template.end_token,
    )


def base_source(recipe: Recipe) -> tuple[str, str]:
    """Folder or hub id the base is read from, and the name an adapter of it carries.

    Raises:
        SetupError: see `engine.starter_store.prepare`.
    """
    if starter := find_starter(recipe.base):
        return str(starter_store.safetensors_folder(starter)), starter.name
    return recipe.base, recipe.base


def load_tokenizer(recipe: Recipe) -> Any:
    """The base's tokenizer.

    Raises:
        SetupError: it cannot be had.
    """
    starter = find_starter(recipe.base)
    source = str(starter_store.prepare(starter, weights=False)) if starter else recipe.base
    return _from_pretrained(AutoTokenizer, source, recipe)


def load(recipe: Recipe, sharded: bool = False) -> TrainableModel:
    """The base with a fresh adapter, seeded, or with the one that the recipe starts from.

    Args:
        sharded: the weights will be split over processes.

    Raises:
        SetupError: the base cannot be had.
        UnknownName, SettingsError: see `finetune.warm_start`.
    """
    source, name = base_source(recipe)
    start = start_folder(recipe, name)
    hub_logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype(recipe), "use_safetensors": True}
    quantized = recipe.quantization == "nf4"
    if torch.cuda.is_available() and (quantized or not sharded):  # else too large until split
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    if quantized:
        options["quantization_config"] = nf4(dtype(recipe), sharded)
    model = _from_pretrained(AutoModelForCausalLM, source, recipe, **options)
    layers = model.config.num_hidden_layers
    model.requires_grad_(False)
    if model.device.type == "cuda" and not sharded:
        fuse_norms(model)
    if quantized:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        for module in model.modules():  # an evaluation on the CPU would pack the weights for good,
            module.support_avx512bf16_for_cpu = False  # and no gradient passes a packed layer
    if recipe.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    torch.manual_seed(recipe.seed)
    if start:
        wrapped = PeftModel.from_pretrained(model, str(start), is_trainable=True)
        return TrainableModel(wrapped, load_tokenizer(recipe), name)
    lora = recipe.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=_targets(model) if lora.targets == "all-linear" else lora.targets,
        layers_to_transform=list(range(lora.from_layer, layers)) if lora.from_layer else None,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        task_type="CAUSAL_LM",
    )
    return TrainableModel(get_peft_model(model, config), load_tokenizer(recipe), name)


def _targets(model: Any) -> list[str]:
    """Names of every kind of linear layer but the output head."""
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if hasattr(module, "in_features") and module is not head
        }
    )


def dtype(recipe: Recipe) -> torch.dtype:
    """What is computed in: bfloat16 where the device has units for it, float32 elsewhere."""
    if recipe.dtype != "auto":
        chosen: torch.dtype = getattr(torch, recipe.dtype)
        return chosen
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def nf4(compute: torch.dtype, sharded: bool = False) -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization. Dettmers et al. 2023, arXiv 2305.14314."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        bnb_4bit_quant_storage=compute if sharded else None,  # FSDP splits no bytes, only floats
    )


def _from_pretrained(kind: Any, source: str, recipe: Recipe, **options: Any) -> Any:
    revision = {} if Path(source).is_dir() else {"revision": recipe.revision}
    try:
        return kind.from_pretrained(source, trust_remote_code=False, **revision, **options)
    except (OSError, ValueError, ImportError) as error:
        raise SetupError(
            f"The base {recipe.base!r} could not be loaded: {str(error).splitlines()[0]} "
            "Check the name, HF_ENDPOINT and the network, or use base=starter."
        ) from error


@dataclass(frozen=True)
class Batch:
    """Examples as tensors.

    Attributes:
        shared: (1, P) ids that every prompt begins with; P may be 0.
        ids: (rows, L) the rest of each example, padded on the right.
        at: (N,) flat positions in `ids` whose next token is learnt.
        targets: (N,) those next tokens.
        weights: (N,) how much each counts; they sum to 1.
    """

    shared: Tensor
    ids: Tensor
    at: Tensor
    targets: Tensor
    weights: Tensor

    @property
    def tokens(self) -> int:
        """Positions that are computed, padding included."""
        return self.shared.numel() + self.ids.numel()

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            *(t.to(device) for t in (self.shared, self.ids, self.at, self.targets, self.weights))
        )


def collate(examples: Sequence[Example], pad: int, round_to: int = 8, share: bool = True) -> Batch:
    """Examples to one batch.

    Args:
        examples: at least one.
        pad: token id for padding; never attended to by what counts.
        round_to: the padded length is a multiple of it, so that few shapes occur.
        share: read the common beginning of the prompts once instead of once a row.
    """
    prompts = [example.prompt for example in examples]
    begin = _common_prefix_length([prompt[:-1] for prompt in prompts]) if share else 0
    rest = [(e.prompt + e.answer)[begin:-1] for e in examples]
    width = -(-max(map(len, rest)) // round_to) * round_to
    at: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    total = sum(e.weight * len(e.answer) for e in examples)
    for i, example in enumerate(examples):
        start = i * width + len(example.prompt) - begin - 1
        at += range(start, start + len(example.answer))
        targets += example.answer
        weights += [example.weight / total] * len(example.answer)
    return Batch(
        torch.tensor([prompts[0][:begin]], dtype=torch.long),
        torch.tensor([row + [pad] * (width - len(row)) for row in rest]),
        torch.tensor(at),
        torch.tensor(targets),
        torch.tensor(weights),
    )


def _common_prefix_length(rows: Sequence[list[int]]) -> int:
    """How many ids all rows begin with alike."""
    first = rows[0]
    lengths = (
        next((i for i, (a, b) in enumerate(zip(first, row, strict=False)) if a != b), None)
        for row in rows
    )
    shortest = min(map(len, rows))
    return min(shortest if length is None else length for length in lengths)


class AnswerLoss(nn.Module):
    """Weighted mean cross-entropy of the answers' tokens.

    The beginning that all prompts share is read once and its keys and values are lent to every
    row; gradients flow through them, so the result is that of reading it in each row. Only the
    positions that are learnt go through the vocabulary projection.
    """

    def __init__(self, model: Any, fuse: bool = True) -> None:
        """
        Args:
            model: a PEFT model.
            fuse: compute layer and adapter in one where that gives the same (see `fused.py`).
        """
        super().__init__()
        self.model = model
        self.fused = FusedLayers(model) if fuse and fusable(model) else None
        self._no_split_modules = model._no_split_modules  # where Accelerate cuts for FSDP

    def forward(self, batch: Batch) -> Tensor:
        """The loss, a scalar in nats."""
        if self.fused:
            self.fused.refresh()
        base = self.model.get_base_model()
        if batch.ids.device.type == "cpu":
            short = batch.shared.numel() + batch.ids.shape[1] <= EAGER_TOKENS
            base.set_attn_implementation("eager" if short else "sdpa")
        decoder, head = base.get_decoder(), base.get_output_embeddings()
        rows = GPU_HEAD_ROWS if batch.ids.is_cuda else HEAD_ROWS
        cache = None
        if batch.shared.numel():
            cache = decoder(batch.shared, use_cache=True).past_key_values
            cache.batch_repeat_interleave(len(batch.ids))
        out = decoder(batch.ids, past_key_values=cache, use_cache=cache is not None)
        hidden = out.last_hidden_state.flatten(0, 1)[batch.at]
        loss: Tensor = _HeadLoss.apply(hidden, head.weight, batch.targets, batch.weights, rows)
        return loss


class _HeadLoss(torch.autograd.Function):
    """Weighted cross-entropy through the vocabulary projection, a few positions at a time.

    The gradient is taken on the way, so that the logits of all positions never stand in memory
    together. hidden: (N, width); head: (vocabulary, width), not trained; targets, weights: (N,).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, weights: Tensor, rows: int
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty_like(hidden) if wanted else None
        slope_of = _compiled_slope() if hidden.is_cuda else _slope
        for start in range(0, len(hidden), rows):
            part = slice(start, start + rows)
            logits = hidden[part] @ head.T
            loss, slope = slope_of(logits, targets[part, None], weights[part, None])
            total += loss
            if gradient is not None:
                gradient[part] = slope @ head
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.gradient * grads[0].to(ctx.gradient.dtype), None, None, None, None


def _slope(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy and its gradient.

    Args:
        logits: (N, vocabulary).
        target: (N, 1) token ids.
        weight: (N, 1).

    Returns:
        the sum of the losses, and the gradient for the logits in their type.
    """
    full = logits.float()
    norm = full.logsumexp(-1, keepdim=True)
    loss = ((norm - full.gather(1, target)) * weight).sum()
    slope = full.sub_(norm).exp_().mul_(weight).scatter_add_(1, target, -weight)
    return loss, slope.to(logits.dtype)


@cache
def _compiled_slope() -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The same in two passes over the logits, where PyTorch can compile it."""

    def fusable_slope(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        full = logits.float()
        norm = full.logsumexp(-1, keepdim=True)
        loss = ((norm - full.gather(1, target)) * weight).sum()
        hit = torch.arange(full.shape[1], device=full.device)[None] == target
        slope = ((full - norm).exp() - hit.float()) * weight
        return loss, slope.to(logits.dtype)

    return torch.compile(fusable_slope, dynamic=True)


class _Norm(nn.Module):
    """An RMSNorm of transformers in one kernel; `shift` is what is added to its weight."""

    def __init__(self, norm: Any, shift: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach() + shift, requires_grad=False)
        self.epsilon: float = getattr(norm, "variance_epsilon", None) or norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width)."""
        weight = self.weight.to(x.dtype)
        return nn.functional.rms_norm(x, x.shape[-1:], weight, self.epsilon)


def fuse_norms(model: nn.Module) -> None:
    """Put one kernel in the place of the eight that a norm of transformers is."""
    for parent in list(model.modules()):
        for name, norm in parent.named_children():
            kind = type(norm).__name__
            if kind.endswith("RMSNorm"):
                setattr(parent, name, _Norm(norm, 1.0 if kind.startswith("Gemma") else 0.0))
