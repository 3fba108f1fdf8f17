"""Speed and memory on one GPU, beside transformers with PEFT, and QLoRA beside TRL.

    sh benchmarks/gpu.sh            # a machine with CUDA; writes results/gpu.json
    python -m benchmarks.gpu --tiny --device cpu --batches 1,2   # the same steps, anywhere

The base has the shape of Qwen3-4B and random weights: they cost what real ones do. Each way runs in
a process of its own, and none is begun after `--seconds`. The last line on standard output is one
JSON object: seconds, tokens a second, GB.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from core.settings import Settings
from core.terminal import aside
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import CompletionRequest, Usage
from engine.load_base import load_base
from tasks.spec import Decoding

SHAPE: dict[str, Any] = {
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
TINY = {
    "num_hidden_layers": 2,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 49152,
}
RANK, ADAPTER_COUNT, PROMPT = 16, 4, 64
END = "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RECIPE = """
task: classification
base: {base}
quantization: nf4
gradient_checkpointing: true
data: [{{path: rows/news.jsonl, labels: sampled, name: news, licence: Apache-2.0}}]
lora: {{rank: 16, alpha: 32}}
batch: 8
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    tiny: Annotated[bool, typer.Option(help="a base of two small layers: a rehearsal")] = False,
    device: str = "cuda",
    batches: Annotated[str, typer.Option(help="requests at the same time")] = "1,8,32",
    weights: Annotated[str, typer.Option(help="nf4, none (bfloat16), or both")] = "nf4,none",
    training: Annotated[bool, typer.Option(help="QLoRA too")] = True,
    tokens: Annotated[int, typer.Option(min=2, help="of an answer")] = 48,
    rounds: Annotated[int, typer.Option(min=1, help="of which the median counts")] = 2,
    seconds: Annotated[float, typer.Option(help="after which no further way is begun")] = 480,
    only: Annotated[str | None, typer.Option(help="WAY:QUANTIZATION, in this process")] = None,
    folder: Annotated[Path | None, typer.Option(help="where base and adapters are")] = None,
) -> None:
    """Measure every way, one after another."""
    sizes = [int(size) for size in batches.split(",")]
    if only and folder:
        way, quantization = only.split(":")
        measure = ours if way == "patchbay" else theirs
        print(json.dumps(measure(folder, quantization, device, Plan(sizes, tokens, rounds))))
        return
    until = time.monotonic() + seconds
    results: dict[str, Any] = {"machine": machine(device), "tiny": tiny}
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary), SHAPE | (TINY if tiny else {}), device)
        jobs: dict[str, tuple[str, list[str]]] = {}
        for quantization in weights.split(","):
            kind = "NF4" if quantization == "nf4" else "bfloat16"
            for way in ("patchbay", "transformers"):
                options = [f"--device={device}", f"--batches={batches}", f"--tokens={tokens}"]
                options += [f"--rounds={rounds}", f"--only={way}:{quantization}"]
                jobs[f"{way}, {kind}"] = ("benchmarks.gpu", [*options, f"--folder={temporary}"])
        if training:
            recipe = Path(temporary) / "qlora.yaml"
            recipe.write_text(RECIPE.format(base=Path(temporary) / "base"))
            jobs["QLoRA"] = ("benchmarks.training", [str(recipe), "--steps=8"])
        for name, (module, options) in jobs.items():
            if time.monotonic() < until:
                results[name] = child(module, options)
                aside(f"{name}: {json.dumps(results[name])}")
    results["ratios"] = ratios(results, sizes)
    print(json.dumps(results))


@dataclass(frozen=True)
class Plan:
    """Requests at the same time, tokens of each answer, rounds of which the median counts."""

    sizes: list[int]
    tokens: int
    rounds: int


def child(module: str, options: list[str]) -> dict[str, Any]:
    """What a benchmark's last line says; a way that fails leaves the others their figures."""
    done = subprocess.run(
        [sys.executable, "-m", module, *options], stdout=subprocess.PIPE, check=False, text=True
    )
    if done.returncode:
        return {"failed": done.returncode}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def machine(device: str) -> str:
    """What it is measured on."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor()


def byte_tokenizer() -> Any:
    """One token a byte: nothing is fetched for it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, pad_token=END)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make(folder: Path, shape: dict[str, Any], device: str) -> None:
    """A random base of the shape, and random adapters by PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = byte_tokenizer()
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    config = Qwen3Config(**shape, **ends, dtype="bfloat16")
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = Qwen3ForCausalLM(config)
    model.to(torch.bfloat16)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    lora = LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear")
    wrapped = get_peft_model(model, lora)
    wrapped.peft_config["default"].base_model_name_or_path = str(folder / "base")
    for index in range(ADAPTER_COUNT):
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:
                value.data.normal_(std=1e-3)
        wrapped.save_pretrained(str(folder / "adapters" / f"random-{index}"))


def rate(work: Callable[[int], float], plan: Plan) -> float:
    """Tokens a second after the first: seconds for many tokens less seconds for one."""
    work(plan.tokens)
    taken = [work(plan.tokens) - work(1) for _ in range(plan.rounds)]
    return round((plan.tokens - 1) / statistics.median(taken), 2)


def ours(folder: Path, quantization: str, device: str, plan: Plan) -> dict[str, Any]:
    """Through the app's engine, requests from threads."""
    chosen: dict[str, Any] = {"quantization": quantization, "dtype": "bfloat16", "device": device}
    base = load_base(Settings(base=str(folder / "base"), **chosen), aside)
    library = library_of(base, [folder / "adapters"])
    engine = TorchEngine(base, library, max_running=max(plan.sizes))
    ids = tuple(range(1000, 1000 + PROMPT))

    def work(size: int, names: list[str], tokens: int) -> float:
        def ask(index: int) -> int:
            decoding = Decoding(max_new_tokens=tokens, temperature=0)
            name = names[index % len(names)] if names else None
            *_, last = engine.write(CompletionRequest(ids, name, decoding))
            assert isinstance(last, Usage)
            return last.tokens

        began = time.perf_counter()
        with ThreadPoolExecutor(size) as pool:
            counts = list(pool.map(ask, range(size)))
        assert counts == [tokens] * size, "a random base ended an answer by itself"
        return time.perf_counter() - began

    measured = figures(plan, library.names(), work)
    engine.close()
    return {**measured, **memory(device)}


def theirs(folder: Path, quantization: str, device: str, plan: Plan) -> dict[str, Any]:
    """Through transformers' generate, with PEFT's adapters unmerged."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": {"": device}}
    if quantization == "nf4":
        how["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    bare: Any = AutoModelForCausalLM.from_pretrained(folder / "base", **how)
    folders = sorted((folder / "adapters").iterdir())
    model: Any = PeftModel.from_pretrained(bare, folders[0], adapter_name=folders[0].name)
    for other in folders[1:]:
        model.load_adapter(other, other.name)

    def work(size: int, names: list[str], tokens: int) -> float:
        ids = torch.arange(1000, 1000 + PROMPT, device=device).repeat(size, 1)
        how = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        whole = {"attention_mask": torch.ones_like(ids), "pad_token_id": 0}
        began = time.perf_counter()
        if not names:
            with model.disable_adapter():
                model.generate(input_ids=ids, **how, **whole)
        elif len(names) == 1:
            model.set_adapter(names[0])
            model.generate(input_ids=ids, **how, **whole)
        else:
            rows = [names[index % len(names)] for index in range(size)]
            model.generate(input_ids=ids, adapter_names=rows, **how, **whole)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with torch.inference_mode():
        measured = figures(plan, [one.name for one in folders], work)
    return {**measured, **memory(device)}


def figures(
    plan: Plan, names: list[str], work: Callable[[int, list[str], int], float]
) -> dict[str, Any]:
    """First token, and tokens a second for each number of requests."""
    measured: dict[str, Any] = {}
    for size in plan.sizes:
        kinds = {"bare": [], "one adapter": names[:1], "four adapters": names}
        measured[str(size)] = {
            kind: round(size * rate(partial(work, size, chosen), plan), 1)
            for kind, chosen in kinds.items()
            if size > 1 or kind != "four adapters"
        }
        measured[str(size)]["first_token"] = round(work(size, names[:1], 1), 4)
    return measured


def memory(device: str) -> dict[str, float]:
    """The most that stood on the GPU."""
    if device != "cuda":
        return {}
    return {"peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 2)}


def ratios(results: dict[str, Any], sizes: list[int]) -> dict[str, float]:
    """What the engine is judged by."""
    ratio = {}
    for kind in ("NF4", "bfloat16"):
        mine, plain = (results.get(f"{way}, {kind}", {}) for way in ("patchbay", "transformers"))
        if not (mine.keys() & plain.keys()):
            continue
        for size in map(str, sizes):
            name = f"{kind}, {size} at a time"
            one = mine[size]["one adapter"]
            ratio[f"{name}: with an adapter / transformers + PEFT"] = (
                one / plain[size]["one adapter"]
            )
            if mixed := mine[size].get("four adapters"):
                ratio[f"{name}: four adapters / one"] = mixed / one
                ratio[f"{name}: four adapters / transformers + PEFT"] = (
                    mixed / plain[size]["four adapters"]
                )
    return {name: round(value, 3) for name, value in ratio.items()}


if __name__ == "__main__":
    app()
