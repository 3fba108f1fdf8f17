"""Load the quantized base and its tokenizer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Cache,
    DynamicCache,
)
from transformers.utils import logging as hub_logging

from core import paths
from core.errors import SettingsError, SetupError
from core.settings import Settings
from engine import int8, starter
from engine.batched_decode import Together
from engine.batched_decode import unsupported as alone
from engine.cpu_model import Direct
from engine.kv_cache import Memory, Next, Reading
from engine.lora import LoraWeights, Pairs, Switch, patch
from engine.packed import FORMAT, Packed, load, pack, save, unsupported
from tasks.spec import Message

FEW_TOKENS = 64  # up to here one thread is about as quick, and does not stall on a busy machine
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Base:
    """The one model in memory.

    Attributes:
        model: a transformers causal language model whose linear layers are patch points; None
            where `direct` stands for it.
        tokenizer: a fast tokenizer with a chat template.
        switch: says which adapter the next forward pass uses.
        context_tokens: prompt plus answer at most.
        fingerprints: `base`, `revision`, `quantization`.
        direct: what runs an 8-bit base instead of the model's layers, where it can.
        together: what reads tokens of several texts in one pass of the model, where it can.
    """

    model: Any
    tokenizer: Any
    switch: Switch
    context_tokens: int
    fingerprints: dict[str, str]
    direct: Direct | None = None
    together: Together | None = None

    @property
    def name(self) -> str:
        """The hub id, or the folder it came from."""
        return self.fingerprints["base"]

    @property
    def device(self) -> torch.device:
        """Where the inputs go."""
        device: torch.device = torch.device("cpu") if self.direct else self.model.device
        return device

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Token ids that end an answer."""
        if self.direct:
            ids = self.direct.facts.ends
        else:
            named = self.model.generation_config.eos_token_id
            ids = named if isinstance(named, list) else [named]
        return frozenset(i for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @property
    def start_token(self) -> int:
        """The token id before a text that nothing stands before, where the base has one; else the
        one that ends a text.
        """
        words = self.tokenizer
        start: int = words.eos_token_id if words.bos_token_id is None else words.bos_token_id
        return start

    def plain_ids(self, text: str, begin: bool = False) -> list[int]:
        """A text as token ids as it stands, see `engine.interface.ScoringEngine.tokens`."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=begin).input_ids
        return ids

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The messages in the base's chat template, as token ids.

        Text that spells a special token is broken up, so that nobody can write another's turn.
        """
        turns = [{"role": m["role"], "content": self._defused(m["content"])} for m in messages]
        encoded = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, enable_thinking=False
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def lay_out(self, pairs: Pairs) -> Any:
        """An adapter's factors in the form that this base runs them in."""
        if self.direct:
            return self.direct.lay_out(pairs)
        dtype = self.model.dtype if self.model.dtype.is_floating_point else torch.bfloat16
        return {
            name: (down.to(self.device, dtype), up.to(self.device, dtype))
            for name, (down, up) in pairs.items()
        }

    def memory(self) -> Reading:
        """Keys and values of a new request."""
        return self.direct.memory() if self.direct else DynamicCache(config=self.model.config)

    def read(
        self, ids: Sequence[int], memory: Reading, weights: LoraWeights | None, keep: int = 1
    ) -> Tensor:
        """Read tokens on top of the memory, which grows.

        Args:
            ids: at least one.
            memory: of this base.
            weights: the adapter; None for the bare base.
            keep: after how many of the last tokens logits are wanted.

        Returns:
            (keep, vocabulary) logits.
        """
        if self.direct and isinstance(memory, Memory):
            return self.direct.read(ids, memory, weights, keep)
        row = torch.tensor([list(ids)], device=self.device)
        return self._forward(row, memory, weights, keep)[0]

    def rewind(self, memory: Reading, count: int) -> None:
        """Forget the last `count` tokens that were read."""
        if isinstance(memory, Memory):
            memory.length -= count
        elif count:
            memory.crop(-count)

    def step(self, texts: Sequence[Next]) -> Sequence[Tensor]:
        """Read one token of each text on top of its memory.

        Returns:
            (vocabulary,) logits of the next token of each.
        """
        if self.direct:
            return list(self.direct.step(texts))
        if self.together and len(texts) > 1:
            with self._few():
                return list(self.together.step(texts))
        if self.together:
            self.together.part()
        return [self.read([text.token], text.memory, text.weights)[-1] for text in texts]

    def branches(
        self,
        rows: Sequence[Sequence[int]],
        memory: Reading,
        weights: LoraWeights | None,
        trunk: Sequence[int] = (),
    ) -> list[Tensor]:
        """Read several continuations of the memory, which stays without them.

        Args:
            rows: token ids, at least one each.
            memory: of this base.
            weights: the adapter; None for the bare base.
            trunk: read before them, for all of them; the memory grows by it.

        Returns:
            (length, vocabulary) logits after each token of each row; before them, where there is a
            trunk, (1, vocabulary) after it.
        """
        if self.direct and isinstance(memory, Memory):
            return self.direct.branches(rows, memory, weights, trunk)
        head = [self.read(trunk, memory, weights)] if trunk else []
        assert isinstance(memory, Cache)
        width = max(len(row) for row in rows)
        # Pads stand to the right of what is read, so causal attention never looks at them.
        padded = [[*row, *[row[-1]] * (width - len(row))] for row in rows]
        memory.batch_repeat_interleave(len(rows))
        ids = torch.tensor(padded, device=self.device)
        logits = self._forward(ids, memory, weights, keep=width)
        memory.crop(-width)
        memory.batch_select_indices(torch.tensor([0], device=self.device))
        return head + [row[: len(ids)] for row, ids in zip(logits, rows, strict=True)]

    def _forward(
        self, ids: Tensor, memory: Reading, weights: LoraWeights | None, keep: int
    ) -> Tensor:
        """ids (batch, length) -> (batch, keep, vocabulary) logits of the last `keep`."""
        few = self._few() if ids.numel() <= FEW_TOKENS else nullcontext()
        with self.switch.to(weights), few:
            out = self.model(ids, past_key_values=memory, use_cache=True, logits_to_keep=keep)
        logits: Tensor = out.logits
        return logits

    def _few(self) -> AbstractContextManager[None]:
        """How few tokens are read."""
        return int8.one_thread() if self.device.type == "cpu" else nullcontext()

    def _defused(self, text: str) -> str:
        for token in self.tokenizer.all_special_tokens:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text


def load_base(settings: Settings, progress: Progress = lambda line: None) -> Base:
    """Load what the settings name, ready to serve.

    Raises:
        SetupError: the weights cannot be had.
        SettingsError: the settings do not fit the model or the machine.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    placement = _placement(settings)
    if settings.base == "starter" and settings.quantization == "int8":
        return _starter(settings, progress)
    is_starter = settings.base == "starter"
    source = str(starter.prepare(progress)) if is_starter else settings.base
    tokenizer = _read(AutoTokenizer, source, settings)
    model = _read(AutoModelForCausalLM, source, settings, **placement, use_safetensors=True)
    model.eval().requires_grad_(False)
    limit = getattr(model.config, "max_position_embeddings", None)
    known = _known(settings, tokenizer, limit)
    if settings.quantization == "int8":
        if not (reason := unsupported(model)):
            with int8.one_thread():
                packed = pack(model, known["context_tokens"])
            switch = Switch(packed.facts.shapes)
            return Base(None, tokenizer, switch, **known, direct=Direct(packed))
        with int8.one_thread():
            int8.quantize_model(model)
        progress(f"The compiled pass does not fit this base ({reason}); transformers runs it")
    switch = patch(model)
    if reason := alone(model):
        progress(f"Answers at the same time are read one after another ({reason})")
        return Base(model, tokenizer, switch, **known)
    return Base(model, tokenizer, switch, **known, together=Together(model, switch))


def _starter(settings: Settings, progress: Progress) -> Base:
    """The starter in 8 bits, from a file of it that is made the first time."""
    with nullcontext() if starter.folder().exists() else _compiling():
        folder = starter.prepare(progress, weights=False)
        tokenizer = _read(AutoTokenizer, str(folder), settings)
        limit = _read(AutoConfig, str(folder), settings).max_position_embeddings
        known = _known(settings, tokenizer, limit)
        context = known["context_tokens"]
        file = folder / f"int8-{FORMAT}-{context}.safetensors"
        packed = load(file) or _rounded(folder, file, context, settings, progress)
    return Base(None, tokenizer, Switch(packed.facts.shapes), **known, direct=Direct(packed))


@contextmanager
def _compiling() -> Iterator[None]:
    """Compile meanwhile, in a process of its own: that and reading a GGUF are seconds of Python.

    What goes wrong there is seen when the base is made here. An error here does not wait for it.
    """
    command = [sys.executable, "-c", "from engine.cpu_model import compile_ahead; compile_ahead()"]
    with subprocess.Popen(command, cwd=paths.REPOSITORY, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        except BaseException:
            process.kill()
            raise


def _rounded(
    folder: Path, file: Path, context: int, settings: Settings, progress: Progress
) -> Packed:
    progress("Rounding the starter model to 8 bits, some seconds")
    starter.prepare(progress)
    model = _read(AutoModelForCausalLM, str(folder), settings, **_placement(settings))
    with int8.one_thread():
        made = pack(model, context)
    try:
        save(made, file)
    except OSError as error:
        progress(f"Not kept for the next start: {error}")
    return load(file) or made


def _known(settings: Settings, tokenizer: Any, limit: int | None) -> dict[str, Any]:
    """What a Base says of itself.

    Raises:
        SettingsError: the base is not made for a chat.
    """
    is_starter = settings.base == "starter"
    name = starter.NAME if is_starter else settings.base
    if tokenizer.chat_template is None:
        raise SettingsError(f"{name} has no chat template. Name an instruction-tuned base.")
    return {
        "context_tokens": min(settings.context_tokens, limit or settings.context_tokens),
        "fingerprints": {
            "base": name,
            "revision": starter.PACKAGE if is_starter else settings.revision,
            "quantization": settings.quantization,
        },
    }


def _read(kind: Any, source: str, settings: Settings, **how: Any) -> Any:
    """What one of transformers' Auto classes reads of a base."""
    hub_logging.disable_progress_bar()
    if Path(source).is_dir():
        how["local_files_only"] = True  # nothing to ask a hub for
    else:
        how["revision"] = settings.revision
    try:
        return kind.from_pretrained(source, trust_remote_code=False, **how)
    except (OSError, ValueError, ImportError) as error:
        raise SetupError(
            f"The base {source!r} could not be loaded: {str(error).splitlines()[0]} "
            "Check the name, HF_ENDPOINT and the network, or use --profile starter."
        ) from error


def _placement(settings: Settings) -> dict[str, Any]:
    dtype = getattr(torch, settings.dtype)
    if settings.quantization == "int8" and settings.device != "cpu":
        raise SettingsError("quantization=int8 is for device=cpu; use nf4 or none on a GPU.")
    if settings.quantization == "int8" and settings.dtype != "float32":
        raise SettingsError("quantization=int8 computes prompts in float32; set dtype=float32.")
    placement: dict[str, Any] = {"dtype": dtype, "device_map": {"": settings.device}}
    if settings.quantization == "nf4":
        placement["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return placement
