"""An adapter as a GGUF file, which llama.cpp adds to a base with `--lora`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

from adapter_store.files import ADAPTER_WEIGHTS
from adapter_store.peft_config import read_peft_config
from core.errors import AdapterError
from finetune.gguf_file import About, arch_of, describe, interleaved, tensor_name

LORA_FILE = "lora.gguf"
PREFIX = "base_model.model."


def write(adapter: Path, config: Any, folder: Path, about: About) -> Path:
    """Write a folder's adapter, float32, as llama.cpp's `convert_lora_to_gguf.py` does.

    Args:
        config: transformers' of the base.
        folder: where the file is written.

    Raises:
        AdapterError: the architecture is none that is known here, the adapter is no plain LoRA, or
            its layers are scaled in several ways, for which the file has no place.
    """
    arch = arch_of(config)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(adapter / ADAPTER_WEIGHTS).items():
        layer, _, side = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".lora_")
        layers.setdefault(layer, {})[side] = tensor.float()
    ranks = {layer: sides["A"].shape[0] for layer, sides in layers.items()}
    scalings = read_peft_config(adapter).scalings(ranks)
    alphas = {round(scaling * ranks[layer], 6) for layer, scaling in scalings.items()}
    if len(alphas) != 1:
        raise AdapterError(
            f"{about.name} scales its layers by {len(alphas)} alphas, and a GGUF file holds one. "
            "Export it as gguf."
        )
    writer = gguf.GGUFWriter(folder / LORA_FILE, gguf.MODEL_ARCH_NAMES[arch])
    describe(writer, about, gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alphas.pop())
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for layer, sides in layers.items():
        stored = tensor_name(names, f"{layer}.weight")
        writer.add_tensor(f"{stored}.lora_a", np.asarray(sides["A"]))
        up = interleaved(f"{layer}.weight", sides["B"], config)
        writer.add_tensor(f"{stored}.lora_b", np.asarray(up))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / LORA_FILE
