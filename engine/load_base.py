"""Load the quantized base that the settings name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as hub_logging

from core import paths
from core.errors import SettingsError, SetupError
from core.settings import Settings
from engine import batched_decode, int8, packed_model, packing, starter
from engine.base_model import Base, BaseModel
from engine.chat_template import ChatTemplate
from engine.cpu_model import CPUModel
from engine.packed_model import FORMAT, PackedModel
from engine.starter import Progress
from engine.transformers_model import TransformersModel


def load_base(settings: Settings, progress: Progress = lambda line: None) -> Base:
    """Load what the settings name, ready to serve.

    Raises:
        SetupError: the weights cannot be had.
        SettingsError: the settings do not fit the model or the machine.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    options = _loading_options(settings)
    if settings.base == "starter" and settings.quantization == "int8":
        return _load_starter(settings, progress)
    source = str(starter.prepare(progress)) if settings.base == "starter" else settings.base
    template = _template(source, settings)
    model = _from_pretrained(
        AutoModelForCausalLM, source, settings, **options, use_safetensors=True
    )
    model.eval().requires_grad_(False)
    context = _context_tokens(settings, getattr(model.config, "max_position_embeddings", None))
    return _base(settings, template, context, _runnable(model, context, settings, progress))


def _runnable(model: Any, context: int, settings: Settings, progress: Progress) -> BaseModel[Any]:
    """A model of transformers in the quickest way that knows it."""
    if settings.quantization == "int8":
        if not (reason := packing.unsupported(model)):
            with int8.one_thread():
                packed = packing.pack(model, context)
            return CPUModel(packed)
        with int8.one_thread():
            int8.quantize_model(model)
        progress(f"The compiled pass does not fit this base ({reason}); transformers runs it")
    if reason := batched_decode.unsupported(model):
        progress(f"Answers at the same time are read one after another ({reason})")
    return TransformersModel(model, batched=not reason)


def _load_starter(settings: Settings, progress: Progress) -> Base:
    """The starter in 8 bits, from a file of it that is made the first time."""
    with nullcontext() if starter.folder().exists() else _compiling():
        folder = starter.prepare(progress, weights=False)
        template = _template(str(folder), settings)
        config = _from_pretrained(AutoConfig, str(folder), settings)
        context = _context_tokens(settings, config.max_position_embeddings)
        file = folder / f"int8-{FORMAT}-{context}.safetensors"
        packed = packed_model.load(file) or _pack_starter(folder, file, context, settings, progress)
    return _base(settings, template, context, CPUModel(packed))


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


def _pack_starter(
    folder: Path, file: Path, context: int, settings: Settings, progress: Progress
) -> PackedModel:
    progress("Rounding the starter model to 8 bits, some seconds")
    starter.prepare(progress)
    options = _loading_options(settings)
    model = _from_pretrained(AutoModelForCausalLM, str(folder), settings, **options)
    with int8.one_thread():
        packed = packing.pack(model, context)
    try:
        packed_model.save(packed, file)
    except OSError as error:
        progress(f"Not kept for the next start: {error}")
    return packed_model.load(file) or packed


def _base(settings: Settings, template: ChatTemplate, context: int, model: BaseModel[Any]) -> Base:
    is_starter = settings.base == "starter"
    return Base(
        model,
        template,
        context,
        {
            "base": starter.NAME if is_starter else settings.base,
            "revision": starter.PACKAGE if is_starter else settings.revision,
            "quantization": settings.quantization,
        },
    )


def _template(source: str, settings: Settings) -> ChatTemplate:
    """The base's tokenizer and its chat template.

    Raises:
        SettingsError: the base is not made for a chat.
    """
    tokenizer = _from_pretrained(AutoTokenizer, source, settings)
    if tokenizer.chat_template is None:
        name = starter.NAME if settings.base == "starter" else settings.base
        raise SettingsError(f"{name} has no chat template. Name an instruction-tuned base.")
    return ChatTemplate(tokenizer)


def _context_tokens(settings: Settings, limit: int | None) -> int:
    return min(settings.context_tokens, limit or settings.context_tokens)


def _from_pretrained(kind: Any, source: str, settings: Settings, **options: Any) -> Any:
    """What one of transformers' Auto classes reads of a base.

    Raises:
        SetupError: it cannot be had.
    """
    hub_logging.disable_progress_bar()
    if Path(source).is_dir():
        options["local_files_only"] = True  # nothing to ask a hub for
    else:
        options["revision"] = settings.revision
    try:
        return kind.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError, ImportError) as error:
        raise SetupError(
            f"The base {source!r} could not be loaded: {str(error).splitlines()[0]} "
            "Check the name, HF_ENDPOINT and the network, or use --profile starter."
        ) from error


def _loading_options(settings: Settings) -> dict[str, Any]:
    """Where the weights go, and in which numbers.

    Raises:
        SettingsError: the quantization does not go with the device or the dtype.
    """
    dtype = getattr(torch, settings.dtype)
    if settings.quantization == "int8" and settings.device != "cpu":
        raise SettingsError("quantization=int8 is for device=cpu; use nf4 or none on a GPU.")
    if settings.quantization == "int8" and settings.dtype != "float32":
        raise SettingsError("quantization=int8 computes prompts in float32; set dtype=float32.")
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": settings.device}}
    if settings.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return options
