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
from engine import batched_decode, int8, packed_model, packing, starter_store
from engine.base_model import Base, BaseModel
from engine.chat_template import ChatTemplate
from engine.cpu_model import CPUModel
from engine.gguf_gemma import GGUFGemma
from engine.packed_model import FORMAT, PackedModel
from engine.starter import Starter, find_starter
from engine.starter_store import GGUF, Progress
from engine.tool_support import tools_refused
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
    starter = find_starter(settings.base)
    if starter and settings.quantization == "int8":
        return _load_starter(starter, settings, progress)
    if starter:
        source = str(starter_store.prepare(starter, progress))
        model = starter_store.load_model(starter, Path(source), options["dtype"])
        model.to(settings.device)
    else:
        source = settings.base
        model = _from_pretrained(
            AutoModelForCausalLM, source, settings, **options, use_safetensors=True
        )
    template = _template(source, settings)
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


def _load_starter(starter: Starter, settings: Settings, progress: Progress) -> Base:
    """A starter in 8 bits, from a file of it that is made the first time."""
    with nullcontext() if starter.path.exists() else _compiling():
        folder = starter_store.prepare(starter, progress, weights=False)
        template = _template(str(folder), settings)
        config = _from_pretrained(AutoConfig, str(folder), settings)
        context = _context_tokens(settings, config.max_position_embeddings)
        file = folder / f"int8-{FORMAT}-{context}.safetensors"
        packed = packed_model.load(file) or _pack_starter(starter, file, context, progress)
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


def _pack_starter(starter: Starter, file: Path, context: int, progress: Progress) -> PackedModel:
    progress("Rounding the starter model to 8 bits, some seconds")
    folder = starter_store.prepare(starter, progress)
    with int8.one_thread():
        if starter.reads_gguf:
            gguf = GGUFGemma(folder / GGUF)
            packed = packing.pack(gguf.skeleton(), context, gguf)
        else:
            model = starter_store.load_model(starter, folder, torch.float32)
            packed = packing.pack(model, context)
    try:
        packed_model.save(packed, file)
    except OSError as error:
        progress(f"Not kept for the next start: {error}")
    return packed_model.load(file) or packed


def _base(settings: Settings, template: ChatTemplate, context: int, model: BaseModel[Any]) -> Base:
    starter = find_starter(settings.base)
    parameters = sum(rows * columns for rows, columns in model.lora_shapes.values())
    return Base(
        model,
        template,
        context,
        {
            "base": starter.name if starter else settings.base,
            "revision": starter.revision if starter else settings.revision,
            "quantization": settings.quantization,
        },
        tools_refused(settings.tools, parameters, template.call_form),
    )


def _template(source: str, settings: Settings) -> ChatTemplate:
    """The base's tokenizer and its chat template.

    Raises:
        SettingsError: the base is not made for a chat.
    """
    tokenizer = _from_pretrained(AutoTokenizer, source, settings)
    if tokenizer.chat_template is None:
        raise SettingsError(
            f"{settings.base} has no chat template. Name an instruction-tuned base."
        )
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
