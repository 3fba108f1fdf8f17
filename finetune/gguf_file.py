"""A merged model as a GGUF file, for llama.cpp and the programs built on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
Weights = Literal["f16", "q8_0", "q4_0"]
FILE_TYPES: dict[Weights, gguf.LlamaFileType] = {
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
FINE = ("model.embed_tokens.weight", "lm_head.weight")
CONVERT_HINT = "Export it as merged and use llama.cpp's convert_hf_to_gguf.py on that folder."


@dataclass(frozen=True)
class About:
    """What a file says of itself.

    Attributes:
        name: of the adapter.
        base: hub name of what it was trained on, where it has one.
        licence: `license` of its card, and `license_name` and `license_link`.
        languages: ISO 639-1 codes.
    """

    name: str
    base: str | None = None
    licence: Mapping[str, str] = field(default_factory=dict)
    languages: Sequence[str] = ()


def write(model: Any, tokenizer: Any, folder: Path, about: About, weights: Weights = "f16") -> Path:
    """Write weights (norms in float32), tokenizer and chat template to one file.

    Args:
        model: a plain transformers model, nothing left to merge.
        tokenizer: its fast tokenizer, byte-pair.
        folder: where both are saved already; the file is written there.
        weights: how matrices are stored. Embeddings stay at 8 bits at least, as llama.cpp has it;
            a matrix whose rows are no whole blocks stays at 16.

    Raises:
        AdapterError: the architecture or the tokenizer is none that is known here.
    """
    config = model.config
    arch = arch_of(config)
    writer = gguf.GGUFWriter(folder / GGUF_FILE, gguf.MODEL_ARCH_NAMES[arch])
    describe(writer, about, gguf.GGUFType.MODEL)
    writer.add_file_type(FILE_TYPES[weights])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, config)
    _add_tokenizer(writer, tokenizer, folder, config.vocab_size)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for key, tensor in model.state_dict().items():
        if not (tied and key == "lm_head.weight"):
            kind = _stored_as(weights, key, tensor)
            array = gguf.quantize(_array(key, tensor, config), kind)
            writer.add_tensor(tensor_name(names, key), array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / GGUF_FILE


def arch_of(config: Any) -> gguf.MODEL_ARCH:
    """llama.cpp's architecture of a base.

    Raises:
        AdapterError: it is none that is known here.
    """
    if config.model_type not in GGUF_ARCHITECTURES:
        raise AdapterError(
            f"{config.model_type!r} models cannot be written as GGUF. {CONVERT_HINT}"
        )
    return GGUF_ARCHITECTURES[config.model_type]


def describe(writer: gguf.GGUFWriter, about: About, kind: str) -> None:
    """Say in the file what it is, what it was made of, and its licence."""
    writer.add_type(kind)
    writer.add_name(about.name)
    adders = {
        "license": writer.add_license,
        "license_name": writer.add_license_name,
        "license_link": writer.add_license_link,
    }
    for key, value in about.licence.items():
        adders[key](value)
    if about.base:
        owner, _, name = about.base.rpartition("/")
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, name)
        writer.add_base_model_organization(0, owner)
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{about.base}")
    writer.add_tags(["lora", "patchbay"])
    if about.languages:
        writer.add_languages([*about.languages])


def _stored_as(weights: Weights, key: str, tensor: Tensor) -> gguf.GGMLQuantizationType:
    kinds = gguf.GGMLQuantizationType
    if tensor.dim() == 1:
        return kinds.F32
    kind = kinds[weights.upper()]
    if kind == kinds.Q4_0 and key in FINE:
        kind = kinds.Q8_0
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % block == 0 else kinds.F16


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
    full, sliding = rope.get("full_attention", rope), rope.get("sliding_attention")
    for one in filter(None, (full, sliding)):
        _require_plain_rope(one)
    writer.add_rope_freq_base(full["rope_theta"])
    writer.add_rope_dimension_count(width)
    if config.model_type == "gemma3_text":
        _require_gemma_pattern(config)
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base_swa((sliding or full)["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


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


def _require_plain_rope(parameters: Mapping[str, Any]) -> None:
    """Refuse a rotary embedding that is stretched: in short texts its loss would not be seen."""
    if parameters.get("rope_type", "default") != "default":
        raise AdapterError(
            f"The base's rotary embedding is scaled ({parameters['rope_type']!r}), which is not "
            f"written to GGUF here. {CONVERT_HINT}"
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
    added = {entry["id"]: entry for entry in stored["added_tokens"]}
    by_id |= {number: entry["content"] for number, entry in added.items()}
    types = gguf.TokenType

    def kind(number: int) -> int:
        if number in added:
            return types.CONTROL if added[number]["special"] else types.USER_DEFINED
        return types.NORMAL if number in by_id else types.UNUSED

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list([by_id.get(i, f"[PAD{i}]") for i in range(size)])
    writer.add_token_types([kind(i) for i in range(size)])
    writer.add_token_merges([" ".join(pair) for pair in map(_pair, stored["model"]["merges"])])


def _pair(merge: str | list[str]) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def tensor_name(names: gguf.TensorNameMap, key: str) -> str:
    """llama.cpp's name of a tensor of transformers'.

    Raises:
        AdapterError: it has none.
    """
    name = names.get_name(key, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise AdapterError(f"GGUF has no name for the tensor {key}. {CONVERT_HINT}")
    return name


def _array(key: str, tensor: Tensor, config: Any) -> np.ndarray:
    weights = interleaved(key, tensor.detach().float().cpu(), config)
    if config.model_type == "gemma3_text" and "norm" in key:
        weights = weights + 1  # its norms multiply by 1 + weight, llama.cpp's by what is stored
    return np.asarray(weights)


def interleaved(key: str, weights: Tensor, config: Any) -> Tensor:
    """Rows of (out, in) as llama.cpp's rotary embedding pairs them: (0, 1), (2, 3), ….

    transformers pairs the first half of a head with the second. Only what a Llama rotates is
    stored so; other weights stay. From llama.cpp's `LlamaModel.permute`.
    """
    rotated = {
        "q_proj.weight": config.num_attention_heads,
        "k_proj.weight": config.num_key_value_heads,
    }
    heads = next((count for end, count in rotated.items() if key.endswith(end)), None)
    if config.model_type != "llama" or heads is None:
        return weights
    out, width = weights.shape
    pairs = weights.view(heads, 2, out // heads // 2, width).transpose(1, 2)
    return pairs.reshape(out, width)
