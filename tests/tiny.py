"""Tiny random models with a byte-level tokenizer, and tiny random adapters for them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from core.settings import Settings
from engine.adapters import library_of
from engine.base_model import Base, BaseModel
from engine.engine import TorchEngine
from engine.kv_cache import ScoreInput

END = "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# In the form of Qwen3's, shorter.
TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
Call one so:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
{% elif not (tools and loop.first and m.role == 'system') %}<|im_start|>{{ m.role }}
{{ m.content }}
{%- for call in m.tool_calls or [] %}
{%- if m.content or not loop.first %}{{ '\\n' }}{% endif %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
TOOL_TOKENS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
SIZES = {  # multiples of 64: bitsandbytes' kernel for processors with AVX-512 wants whole blocks
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
# What a family needs beside them. The window is shorter than what the tests read.
FAMILY_SIZES: dict[str, dict[str, object]] = {
    "gemma3_text": {
        "num_key_value_heads": 1,
        "query_pre_attn_scalar": 16,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def tokenizer(tools: bool = False) -> PreTrainedTokenizerFast:
    """One token a byte, so that Chinese takes three tokens a character and an emoji four.

    With `tools` its chat template has them, and calls are between tokens of their own.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)}
    zero = "Ā"  # byte 0, that no test writes: GGUF wants one merge
    vocabulary[zero + zero] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[(zero, zero)]))
    inner.pre_tokenizer = pre_tokenizers.Sequence(  # as SmolLM2 has it
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, pad_token=END)
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    made.chat_template = TOOL_TEMPLATE if tools else TEMPLATE
    if tools:
        made.add_tokens([AddedToken(token, special=False) for token in TOOL_TOKENS])
    return made


def build(folder: Path, architecture: str, tools: bool = False, **config: object) -> Path:
    """Save a random model and its tokenizer."""
    words = tokenizer(tools)
    torch.manual_seed(0)
    make, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        "gemma3_text": (Gemma3TextConfig, Gemma3ForCausalLM),
    }[architecture]
    ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    sizes = SIZES | FAMILY_SIZES.get(architecture, {})
    made = model(
        make(**{"vocab_size": len(words), "bos_token_id": None, **sizes, **ends, **config})
    )
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def settings(folder: Path, **changes: object) -> Settings:
    """Settings for a folder's model, unquantized unless changed."""
    values = {"base": str(folder), "quantization": "none", "context_tokens": 512, **changes}
    return Settings(**values)


def add_adapter(base_folder: Path, parent: Path, name: str, seed: int, **config: object) -> Path:
    """Save a random adapter, strong enough to change every answer, with PEFT itself."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    lora = LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": ALL_LINEAR, "init_lora_weights": False}
        | config
    )
    wrapped = get_peft_model(model, lora)
    for key, value in wrapped.named_parameters():
        if "lora_" in key:
            value.data = torch.randn_like(value) * 0.3
    wrapped.save_pretrained(parent / name)
    return parent / name


def engine(base: Base, adapters: Path, **limits: float) -> TorchEngine:
    """An engine over the base with the adapters of one folder."""
    shelf = library_of(base, [adapters])
    return TorchEngine(base, shelf, **limits)


class Passes:
    """Passes that may be left off in between, and at the end what comes of them."""

    def __init__(self, passes: Generator[None, None, list[list[float]]]) -> None:
        self._passes = passes
        self.result: list[list[float]] = []

    def __iter__(self) -> Iterator[None]:
        self.result = yield from self._passes


def scored(model: BaseModel[Any], inputs: Sequence[ScoreInput[Any]]) -> list[list[float]]:
    """What `model.score` gives, without leaving off."""
    passes = Passes(model.score(inputs))
    for _ in passes:
        pass
    return passes.result
