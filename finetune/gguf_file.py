"""A merged model as a GGUF file, for llama.cpp and the programs built on it."""

from __future__ import annotations

import json
import re
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
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}
# How llama.cpp names the ways of cutting text before byte-pair merges, by a mark of each way in
# tokenizer.json.
PRE_TOKENIZERS = {
    '"type":"Digits"': "smollm",
    r"\\p{N}{1,3}": "llama-bpe",
    r"\\p{N}|": "qwen2",
    '"use_regex":true': "gpt-2",
}
# Gemma's windows, which llama.cpp knows by the architecture: all layers but every sixth one.
GEMMA_PATTERN = 6
UNMERGED_SCORE = -1e6  # of a token that no merge gives
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
    # transformers does not read these from a file.
    names = ("head_dim", "query_pre_attn_scalar")
    shape = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, **shape
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
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    writer.add_rope_dimension_count(width)
    if config.model_type == "gemma3_text":
        _require_gemma_pattern(config)
        writer.add_sliding_window(config.sliding_window)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _require_gemma_pattern(config: Any) -> None:
    pattern = ["sliding_attention"] * (GEMMA_PATTERN - 1) + ["full_attention"]
    layers = config.num_hidden_layers
    if list(config.layer_types) != (pattern * layers)[:layers]:
        raise AdapterError(
            f"llama.cpp expects full attention in every {GEMMA_PATTERN}th layer of a Gemma 3, and "
            f"this base has {config.layer_types}. {CONVERT_HINT}"
        )
    if config.query_pre_attn_scalar != config.head_dim:
        raise AdapterError(
            f"llama.cpp scales the attention of a Gemma 3 by its head's width {config.head_dim}, "
            f"and this base by {config.query_pre_attn_scalar}. {CONVERT_HINT}"
        )


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, folder: Path, size: int) -> None:
    """Vocabulary, special tokens and chat template.

    Raises:
        AdapterError: it is no byte-pair tokenizer of a known kind.
    """
    stored = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if stored["model"].get("byte_fallback"):
        _add_sentencepiece(writer, stored, size)
    else:
        _add_byte_level(writer, stored, size)
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


def _add_sentencepiece(writer: gguf.GGUFWriter, stored: dict[str, Any], size: int) -> None:
    """A vocabulary whose rare characters are bytes: llama.cpp merges by score, the best first."""
    vocabulary = {**stored["model"]["vocab"]}
    added = {entry["id"]: entry for entry in stored["added_tokens"]}
    vocabulary |= {entry["content"]: number for number, entry in added.items()}
    scores: dict[str, float] = {}
    for rank, pair in enumerate(map(_pair, stored["model"]["merges"])):
        scores.setdefault("".join(pair), -float(rank))
    by_id = {number: token for token, number in vocabulary.items()}
    types = gguf.TokenType

    def kind(number: int) -> int:
        if number not in by_id:
            return types.UNUSED
        if number in added:
            return types.CONTROL if added[number]["special"] else types.USER_DEFINED
        return types.BYTE if re.fullmatch(r"<0x[0-9A-F]{2}>", by_id[number]) else types.NORMAL

    tokens = [by_id.get(i, f"[PAD{i}]") for i in range(size)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([scores.get(token, UNMERGED_SCORE) for token in tokens])
    writer.add_token_types([kind(i) for i in range(size)])
    writer.add_add_space_prefix(False)


def _add_byte_level(writer: gguf.GGUFWriter, stored: dict[str, Any], size: int) -> None:
    """A vocabulary of bytes and their merges, in a way of cutting text that llama.cpp knows."""
    pre_tokenizer_json = json.dumps(
        stored.get("pre_tokenizer"), separators=(",", ":"), ensure_ascii=False
    )
    pre_tokenizer = next(
        (name for mark, name in PRE_TOKENIZERS.items() if mark in pre_tokenizer_json), None
    )
    if stored["model"]["type"] != "BPE" or pre_tokenizer is None:
        raise AdapterError(f"This tokenizer cannot be written as GGUF. {CONVERT_HINT}")
    by_id = {number: token for token, number in stored["model"]["vocab"].items()}
    by_id |= {entry["id"]: entry["content"] for entry in stored["added_tokens"]}
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
    if config.model_type == "gemma3_text" and "norm" in key:
        weights = weights + 1  # its norms multiply by 1 + weight, llama.cpp's by what is stored
    return np.asarray(weights if weights.dim() == 1 else weights.to(torch.float16))


def _interleaved(weights: Tensor, heads: int) -> Tensor:
    """Rows of (out, in) as llama.cpp's rotary embedding pairs them: (0, 1), (2, 3), ….

    transformers pairs the first half of a head with the second. From llama.cpp's
    `LlamaModel.permute`.
    """
    out, width = weights.shape
    return weights.view(heads, 2, out // heads // 2, width).transpose(1, 2).reshape(out, width)
