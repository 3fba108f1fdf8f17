"""A Gemma 3 in a GGUF file: its config, its tokenizer, and its weights one by one.

transformers reads such a file too, with every weight as float32 in memory and in most of a minute.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, GGUFValueType
from gguf.quants import dequantize
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import AutoModelForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges
from transformers.models.gemma import GemmaTokenizer

USER_DEFINED = 4  # the kind of tokens that are never cut, like HTML tags, as GGUF numbers them
BEGIN, START_OF_TURN, END_OF_TURN = "<bos>", "<start_of_turn>", "<end_of_turn>"
# Gemma's own turn format. A system message stands before the first turn's words.
CHAT_TEMPLATE = """\
{{ bos_token }}
{%- set system = messages[0]['content'] | trim + '\\n\\n' if messages and messages[0]['role'] == 'system' else '' -%}
{%- for message in (messages[1:] if system else messages) -%}
{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' + (system if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""  # noqa: E501
PARTS = {  # GGUF's names of a layer's weights -> transformers'
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
EMBEDDING, FINAL_NORM = "model.embed_tokens.weight", "model.norm.weight"


class _QuickReader(GGUFReader):
    """The library's reader, which takes a minute for a vocabulary of 262,144 words otherwise."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
        element, offset = GGUFValueType(kind[0]), orig_offs + 12
        parts: list[Any] = [kind, count]
        if element != GGUFValueType.STRING:
            parts.append(self._get(offset, self.gguf_scalar_to_np[element], count[0]))
            size = 12 + parts[-1].nbytes
        else:
            buffer = memoryview(self.data)  # type: ignore[arg-type]
            for _ in range(int(count[0])):
                (length,) = struct.unpack_from("<Q", buffer, offset)
                parts.append(buffer[offset + 8 : offset + 8 + length])
                offset += 8 + length
            size = offset - orig_offs
        return size, parts, list(range(2, len(parts))), [GGUFValueType.ARRAY, element]


class GGUFGemma:
    """A file, opened."""

    def __init__(self, file: Path) -> None:
        self._reader = _QuickReader(file)
        self._tensors = {_name(tensor.name): tensor for tensor in self._reader.tensors}

    def config(self) -> Gemma3TextConfig:
        """Its shape, as transformers has it."""
        blocks = self._field("gemma3.block_count")
        width = self._field("gemma3.attention.key_length")
        return Gemma3TextConfig(
            vocab_size=len(self._field("tokenizer.ggml.tokens")),
            hidden_size=self._field("gemma3.embedding_length"),
            intermediate_size=self._field("gemma3.feed_forward_length"),
            num_hidden_layers=blocks,
            num_attention_heads=self._field("gemma3.attention.head_count"),
            num_key_value_heads=self._field("gemma3.attention.head_count_kv"),
            head_dim=width,
            query_pre_attn_scalar=width,
            sliding_window=self._field("gemma3.attention.sliding_window"),
            max_position_embeddings=self._field("gemma3.context_length"),
            rms_norm_eps=self._field("gemma3.attention.layer_norm_rms_epsilon"),
            rope_parameters={
                "full_attention": {
                    "rope_type": "default",
                    "rope_theta": self._field("gemma3.rope.freq_base"),
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            bos_token_id=self._field("tokenizer.ggml.bos_token_id"),
            eos_token_id=self._field("tokenizer.ggml.eos_token_id"),
            pad_token_id=self._field("tokenizer.ggml.padding_token_id"),
            architectures=["Gemma3ForCausalLM"],
        )

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its tokenizer, with Gemma's turn format: an answer ends with the end of a turn."""
        # Runs of spaces stand in the file as they are, other words with a mark for each space.
        tokens = [token.replace(" ", "▁") for token in self._field("tokenizer.ggml.tokens")]
        scores: list[float] = self._field("tokenizer.ggml.scores")
        kinds: list[int] = self._field("tokenizer.ggml.token_type")
        ids = {token: i for i, token in enumerate(tokens)}
        merges = generate_merges(ids, dict(zip(tokens, scores, strict=True)))
        made_for_gemma: Any = GemmaTokenizer(vocab=ids, merges=merges)
        inner = made_for_gemma.backend_tokenizer
        whole = [token for token, kind in zip(tokens, kinds, strict=True) if kind == USER_DEFINED]
        inner.add_tokens(  # spaces are found as marks
            [AddedToken(token, normalized="▁" in token, special=False) for token in whole]
        )
        inner.post_processor = TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, ids[BEGIN])]
        )
        made = PreTrainedTokenizerFast(
            tokenizer_object=inner,
            bos_token=BEGIN,
            eos_token=END_OF_TURN,
            pad_token="<pad>",
            unk_token="<unk>",
            extra_special_tokens=[START_OF_TURN],
        )
        made.chat_template = CHAT_TEMPLATE
        return made

    def weight(self, name: str, rows: slice = slice(None)) -> Tensor:
        """A weight by transformers' name of it, or some of its rows, as float32."""
        tensor = self._tensors[name]
        values = dequantize(tensor.data[rows], tensor.tensor_type)
        weight = torch.from_numpy(np.array(values))
        # Gemma's norms multiply by 1 + weight; llama.cpp's files hold the sum.
        return weight - 1 if name.endswith("norm.weight") else weight

    def release(self, name: str) -> None:
        """Nothing is kept."""

    def skeleton(self, dtype: torch.dtype = torch.float32) -> Any:
        """Transformers' model of it without weights."""
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.config(), dtype=dtype)

    def model(self, dtype: torch.dtype) -> Any:
        """Transformers' model of it."""
        model = self.skeleton(dtype)
        state = {name: self.weight(name).to(dtype) for name in self._tensors}
        model.load_state_dict({**state, "lm_head.weight": state[EMBEDDING]}, assign=True)
        model.tie_weights()
        _make_buffers(model)
        return model

    def _field(self, name: str) -> Any:
        field = self._reader.fields[name]
        return field.contents()


def _make_buffers(model: Any) -> None:
    """Those that no file holds, which the skeleton has without values."""
    rotary = model.model.rotary_emb
    model.model.rotary_emb = type(rotary)(config=model.config)
    embedding = model.model.embed_tokens
    embedding.embed_scale = torch.tensor(embedding.scalar_embed_scale)


def _name(stored: str) -> str:
    if stored == "token_embd.weight":
        return EMBEDDING
    if stored == "output_norm.weight":
        return FINAL_NORM
    _, layer, part, _ = stored.split(".")
    return f"model.layers.{layer}.{PARTS[part]}.weight"
