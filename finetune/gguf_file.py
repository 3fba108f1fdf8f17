"""A merged model as a GGUF file, for llama.cpp and the programs built on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from core.errors import AdapterError

GGUF_FILE = "model.gguf"
GGUF_ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
# How llama.cpp names the ways of cutting text before byte-pair merges, by a mark of each way in
# tokenizer.json.
PRE_TOKENIZERS = {
    '"type":"Digits"': "smollm",
    r"\\p{N}{1,3}": "llama-bpe",
    r"\\p{N}|": "qwen2",
    '"use_regex":true': "gpt-2",
}
CONVERT_HINT = "Export it as merged and use llama.cpp's convert_hf_to_gguf.py on that folder."


def write(model: Any, tokenizer: Any, folder: Path, name: str) -> Path:
    """Write weights in float16 (norms in float32), tokenizer and chat template to one file.

    Args:
        model: a plain transformers model, nothing left to merge.
        tokenizer: its fast tokenizer, byte-pair.
        folder: where both are saved already; the file is written there.
        name: the model's name in the file.

    Raises:
        AdapterError: the architecture or the tokenizer is none that is known here.
    """
    config = model.config
    if config.model_type not in GGUF_ARCHITECTURES:
        raise AdapterError(
            f"{config.model_type!r} models cannot be written as GGUF. {CONVERT_HINT}"
        )
    arch = GGUF_ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(folder / GGUF_FILE, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_name(name)
    _add_shape(writer, config)
    _add_tokenizer(writer, tokenizer, folder, config.vocab_size)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for key, tensor in model.state_dict().items():
        if not (tied and key == "lm_head.weight"):
            writer.add_tensor(_name(names, key), _array(key, tensor, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / GGUF_FILE


def read(file: Path, config: Any) -> Any:
    """The model in a file, as a float32 transformers model with the shape of `config`."""
    # transformers does not read the width of a head from a file.
    width = {"head_dim": config.head_dim} if hasattr(config, "head_dim") else {}
    return AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, **width
    )


def _add_shape(writer: gguf.GGUFWriter, config: Any) -> None:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, folder: Path, size: int) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pre_tokenizer_json = json.dumps(
        stored.get("pre_tokenizer"), separators=(",", ":"), ensure_ascii=False
    )
    pre_tokenizer = next(
        (name for mark, name in PRE_TOKENIZERS.items() if mark in pre_tokenizer_json), None
    )
    if stored["model"]["type"] != "BPE" or pre_tokenizer is None:
        raise AdapterError(f"This tokenizer cannot be written as GGUF. {CONVERT_HINT}")
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    special = {entry["id"] for entry in stored["added_tokens"] if entry["special"]}
    types = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list([by_id.get(i, f"[PAD{i}]") for i in range(size)])
    writer.add_token_types(
        [
            types.UNUSED if i not in by_id else types.CONTROL if i in special else types.NORMAL
            for i in range(size)
        ]
    )
    writer.add_token_merges([" ".join(pair) for pair in map(_pair, stored["model"]["merges"])])
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(False)  # the chat template writes what a prompt begins with
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _pair(merge: str | list[str]) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _name(names: gguf.TensorNameMap, key: str) -> str:
    tensor_name = names.get_name(key, try_suffixes=(".weight", ".bias"))
    if tensor_name is None:
        raise AdapterError(f"GGUF has no name for the tensor {key}. {CONVERT_HINT}")
    return tensor_name


def _array(key: str, tensor: Tensor, config: Any) -> np.ndarray:
    weights = tensor.detach().float().cpu()
    if config.model_type == "llama" and key.endswith(("q_proj.weight", "k_proj.weight")):
        query = key.endswith("q_proj.weight")
        weights = _interleaved(
            weights, config.num_attention_heads if query else config.num_key_value_heads
        )
    return np.asarray(weights if weights.dim() == 1 else weights.to(torch.float16))


def _interleaved(weights: Tensor, heads: int) -> Tensor:
    """Rows of (out, in) as llama.cpp's rotary embedding pairs them: (0, 1), (2, 3), ….

    transformers pairs the first half of a head with the second. From llama.cpp's
    `LlamaModel.permute`.
    """
    out, width = weights.shape
    return weights.view(heads, 2, out // heads // 2, width).transpose(1, 2).reshape(out, width)
