"""How fast the starter answers, beside transformers with PEFT and beside llama.cpp, in one run.

    pip install -c constraints.txt -e ".[bench]"
    python -m benchmarks.speed
    python -m benchmarks.speed --base smollm2   # the other starter base, whose profile has its name
    python -m benchmarks.speed --llama FOLDER     # where llama.cpp is, or will be, built
    python -m benchmarks.speed --text rows.jsonl  # also perplexity, on its `response` column

Each way runs in a process of its own. Figures are medians of five after a warm-up, of ways that are
compared in turn; without guesses, whose gain `benchmarks.prompt_lookup` asks for. The last line on
standard output is one JSON object: the machine, seconds, tokens per second, GB, and ratios.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import llama_cpp
from core.settings import load_settings
from core.terminal import aside
from engine import starter_store
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import Delta, Usage, WriteRequest
from engine.kv_cache import DecodeInput
from engine.load_base import load_base
from engine.starter import STARTERS, Starter
from tasks.spec import Decoding, Message

TOKENS, RANK, ADAPTER_COUNT = 50, 16, 4
PROMPTS = (64, 512, 2000)
MANY = 32
ROUNDS = 5

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    llama: Annotated[Path | None, typer.Option(help="folder to build llama.cpp in")] = None,
    text: Annotated[Path | None, typer.Option(help="JSON lines with instruction, response")] = None,
    base: Annotated[str, typer.Option(help="starter or smollm2")] = "starter",
    only: Annotated[str | None, typer.Option(help="one way, in this process")] = None,
    shelf: Annotated[Path | None, typer.Option(help="where the adapters are")] = None,
) -> None:
    """Measure every way, one after another."""
    if only and shelf:
        ways: dict[str, Callable[[Path, str], dict[str, Any]]] = {
            "patchbay": ours,
            "transformers": theirs,
            "start": start,
        }
        figures = quality(text, base) if only == "quality" and text else ways[only](shelf, base)
        print(json.dumps(figures))
        return
    results: dict[str, Any] = {"machine": machine(), "base": STARTERS[base].name}
    with tempfile.TemporaryDirectory() as folder:
        make_adapters(Path(folder), STARTERS[base])
        for way in ("start", "patchbay", "transformers", *(["quality"] if text else [])):
            options = [f"--only={way}", f"--shelf={folder}", f"--base={base}"]
            options += [f"--text={text}"] if text else []
            results[way] = _child([sys.executable, "-m", "benchmarks.speed", *options])
            aside(f"{way}: {results[way]}")
        if llama:
            results["machine"]["llama.cpp"] = llama_cpp.SOURCE
            program, files = llama_cpp.build(llama), gguf_files(Path(folder), STARTERS[base])
            for weights, file in files.items():
                results[f"llama.cpp {weights}"] = llama_server(program, file, Path(folder))
                aside(f"{weights}: {results[f'llama.cpp {weights}']}")
    results["ratios"] = ratios(results)
    print(json.dumps(results))


def machine() -> dict[str, Any]:
    """The processor that everything ran on, what torch multiplies with, and the day."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else "unknown",
        "cores": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),
        "date": time.strftime("%Y-%m-%d"),
    }


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """What speed is judged by, in this run."""
    mine, plain = results["patchbay"], results["transformers"]
    peers = {name: value for name, value in results.items() if name.startswith("llama.cpp")}
    ratio = {
        "decode with an adapter / without": mine["decode_adapter"] / mine["decode"],
        "decode with an adapter / transformers + PEFT": mine["decode_adapter"]
        / plain["decode_adapter"],
        "decode / transformers": mine["decode"] / plain["decode"],
        "turn 5 without / with what was read": mine["turn_5_anew"] / mine["turn_5"],
        "eight with four adapters / with one": mine["eight_mixed"] / mine["eight_same"],
        "eight together / one after another": mine["eight_mixed"] / mine["eight_in_turn"],
    }
    for tokens, seconds in mine["first_token"].items():
        best = min(peer["first_token"][tokens] for peer in (plain, *peers.values()))
        ratio[f"first token of {tokens} / the best peer's"] = seconds / best
    for name, peer in peers.items():
        ratio[f"decode with an adapter / {name}"] = mine["decode_adapter"] / peer["decode"]
        ratio[f"decode with an adapter / {name} with"] = (
            mine["decode_adapter"] / peer["decode_adapter"]
        )
        ratio[f"eight with four adapters / {name} without"] = mine["eight_mixed"] / peer["eight"]
        ratio[f"eight with four adapters / {name} with"] = mine["eight_mixed"] / peer["eight_mixed"]
    return {name: round(value, 3) for name, value in ratio.items()}


def _child(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def make_adapters(shelf: Path, starter: Starter) -> None:
    """Random adapters on every linear layer, by PEFT."""
    from peft import LoraConfig, get_peft_model

    model = _transformers(starter, torch.float32)
    config = LoraConfig(
        r=RANK, lora_alpha=RANK, target_modules="all-linear", base_model_name_or_path=starter.name
    )
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = starter.name
    for index in range(ADAPTER_COUNT):
        torch.manual_seed(index)
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:
                value.data.normal_(std=1e-3)
        wrapped.save_pretrained(str(shelf / f"random-{index}"))


def median(measure: Callable[[], float]) -> float:
    """Of some rounds after a warm-up, rounded."""
    return medians({"": measure})[""]


def medians(ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Of each way, the rounds of all in turn: what else the machine does meets all of them."""
    found = [{name: measure() for name, measure in ways.items()} for _ in range(ROUNDS + 1)][1:]
    return {name: round(statistics.median(one[name] for one in found), 4) for name in ways}


def ours(shelf: Path, profile: str) -> dict[str, Any]:
    """Through the app's engine."""
    one = OurEngine(shelf, profile)
    figures = {
        **medians(
            {
                "decode": lambda: one.decode(None),
                "decode_adapter": lambda: one.decode(one.names[0]),
            }
        ),
        "first_token": {str(n): median(partial(one.first_token, n)) for n in PROMPTS},
        "turn_5": median(lambda: one.turn_5(anew=False)),
        "turn_5_anew": median(lambda: one.turn_5(anew=True)),
        "first_load": round(statistics.median(one.loads), 4),
        "switch": round(one.switch(), 6),
        **medians(
            {
                "eight_same": lambda: one.eight(one.names[:1], together=True),
                "eight_mixed": lambda: one.eight(one.names, together=True),
                "eight_in_turn": lambda: one.eight(one.names, together=False),
                "thirty_two_mixed": lambda: one.eight(one.names, together=True, count=MANY),
            }
        ),
        "newcomer_p95": round(one.newcomers(), 3),
    }
    before = _peak()
    for i in range(1000):
        one.ask(5 + i % 40, one.names[i % len(one.names)], 3)
    one.engine.close()
    return {**figures, "peak_gb": _peak(), "grown_gb_in_1000_requests": round(_peak() - before, 3)}


class OurEngine:
    """The app's engine with the adapters of one folder."""

    def __init__(self, shelf: Path, profile: str) -> None:
        base = load_base(load_settings(profile=profile))
        base.model.max_guesses = 0  # what is asked here repeats itself, and would be guessed
        self.library = library_of(base, [shelf])
        self.names = self.library.names()
        self.loads = [_seconds(partial(self.library.get, name)) for name in self.names]
        self.engine = TorchEngine(base, self.library, max_running=MANY)

    def write(self, messages: list[Message], adapter: str | None, tokens: int) -> tuple[str, Usage]:
        """The answer and what it cost."""
        decoding = Decoding(max_new_tokens=tokens, temperature=0)
        *pieces, last = self.engine.write(WriteRequest(tuple(messages), adapter, decoding))
        assert isinstance(last, Usage)
        return "".join(piece.text for piece in pieces if isinstance(piece, Delta)), last

    def ask(self, words: int, adapter: str | None, tokens: int) -> Usage:
        """One request of some length."""
        text = "Tell me more about " + "word " * words
        return self.write([{"role": "user", "content": text}], adapter, tokens)[1]

    def decode(self, adapter: str | None) -> float:
        """Tokens a second after the first; the first prompt that is answered at length."""
        for words in range(20, 30):
            usage = self.ask(words, adapter, TOKENS)
            if usage.tokens >= TOKENS // 2:
                break
        return (usage.tokens - 1) / (usage.seconds - usage.first_token)

    def first_token(self, tokens: int) -> float:
        """Seconds, for a prompt of about so many tokens."""
        return self.ask(tokens - 30, None, 1).first_token

    def turn_5(self, anew: bool) -> float:
        """Seconds to the first token of a conversation's fifth turn."""
        history: list[Message] = []
        for turn in range(5):
            history.append({"role": "user", "content": f"Turn {turn}: " + "word " * 60})
            if anew:
                self.engine.forget()
            answer, usage = self.write(history, None, 40)
            history.append({"role": "assistant", "content": answer})
        return usage.first_token

    def switch(self) -> float:
        """Seconds to have an adapter that is in memory."""
        return _seconds(lambda: [self.library.get(self.names[0]) for _ in range(100)]) / 100

    def eight(self, adapters: list[str], together: bool, count: int = 8) -> float:
        """Tokens a second of eight requests, or of another number."""
        began = time.perf_counter()
        with ThreadPoolExecutor(count if together else 1) as pool:
            names = (adapters[i % len(adapters)] for i in range(count))
            answers = [pool.submit(self.ask, 20 + i, name, TOKENS) for i, name in enumerate(names)]
            tokens = sum(answer.result().tokens for answer in answers)
        return tokens / (time.perf_counter() - began)

    def newcomers(self) -> float:
        """Seconds to first tokens of short requests beside three long answers, 95th percentile."""
        stop = threading.Event()

        def busy(index: int) -> None:
            while not stop.is_set():
                self.ask(30 + index, self.names[index], 200)

        with ThreadPoolExecutor(3) as pool:
            pool.map(busy, range(3))
            times = [self.ask(10 + i, None, 1).first_token for i in range(20)]
            stop.set()
        return statistics.quantiles(times, n=20)[-1]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def theirs(shelf: Path, base: str) -> dict[str, Any]:
    """Through transformers' generate in bfloat16, with and without an unmerged PEFT adapter."""
    from peft import PeftModel

    model: Any = _transformers(STARTERS[base], torch.bfloat16)

    def generate(length: int, tokens: int) -> float:
        ids = torch.arange(1000, 1000 + length)[None]
        began = time.perf_counter()
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        return time.perf_counter() - began

    def decode() -> float:
        return (TOKENS - 1) / (generate(64, TOKENS) - generate(64, 1))

    figures: dict[str, Any] = {
        "decode": median(decode),
        "first_token": {str(n): median(partial(generate, n, 1)) for n in PROMPTS},
    }
    model = PeftModel.from_pretrained(model, str(shelf / "random-0"))
    return {**figures, "decode_adapter": median(decode), "peak_gb": _peak()}


def gguf_files(shelf: Path, starter: Starter) -> dict[str, Path]:
    """The base as llama.cpp reads it, in two sizes, and each adapter beside its weights."""
    from transformers import AutoTokenizer

    from finetune import gguf_file, gguf_lora

    model: Any = _transformers(starter, torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(starter_store.prepare(starter))
    about = gguf_file.About(starter.name)
    for adapter in shelf.glob("random-*"):
        gguf_lora.write(adapter, model.config, adapter, about)
    files: dict[str, Path] = {}
    weights: gguf_file.Weights
    for weights in ("q8_0", "q4_0"):
        folder = shelf / "gguf" / weights
        tokenizer.save_pretrained(folder)
        files[weights.upper()] = gguf_file.write(model, tokenizer, folder, about, weights)
    return files


def llama_server(program: Path, model: Path, shelf: Path) -> dict[str, Any]:
    """Through llama.cpp's server, with and without LoRA files."""
    ask, serve = llama_cpp.ask, partial(llama_cpp.serving, program, model)
    adapters = sorted(shelf.glob("random-*/lora.gguf"))

    def prompt(tokens: int) -> range:
        return range(1000, 1000 + tokens)

    def decode(address: str, adapter: int | None) -> float:
        milliseconds = ask(address, prompt(PROMPTS[0]), TOKENS, adapter)["predicted_ms"]
        return (TOKENS - 1) / milliseconds * 1000

    def first_token(address: str, tokens: int) -> float:
        return ask(address, prompt(tokens), 1)["prompt_ms"] / 1000

    def eight(address: str, chosen: Sequence[int | None]) -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            names = (chosen[i % len(chosen)] for i in range(8))
            answers = [
                pool.submit(ask, address, prompt(50 + i), TOKENS, name)
                for i, name in enumerate(names)
            ]
            for answer in answers:
                answer.result()
        return 8 * TOKENS / (time.perf_counter() - began)

    figures: dict[str, Any] = {}
    with serve() as address:
        figures["decode"] = median(lambda: decode(address, None))
        figures["first_token"] = {str(n): median(partial(first_token, address, n)) for n in PROMPTS}
    with serve(adapters[:1]) as address:
        figures["decode_adapter"] = median(lambda: decode(address, 0))
    with serve(slots=8) as address:
        figures["eight"] = median(lambda: eight(address, [None]))
    with serve(adapters, slots=8) as address:
        figures["eight_same"] = median(lambda: eight(address, [0]))
        figures["eight_mixed"] = median(lambda: eight(address, range(len(adapters))))
    return figures


def start(_: Path, profile: str) -> dict[str, Any]:
    """From a new process to the end of a first short answer, warm disk: the agent, no page."""
    code = (
        "from agent.build import build_agent; from core.settings import load_settings;"
        f"agent = build_agent(load_settings(profile={profile!r}));"
        "list(agent.answer('Say hello.'))"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return {"seconds": round(time.perf_counter() - began, 2)}


@torch.inference_mode()
def quality(text: Path, profile: str) -> dict[str, Any]:
    """Perplexity of answers and agreement of the next token, beside float32 and bfloat16."""
    from transformers import AutoTokenizer

    rows = [json.loads(line) for line in text.read_text(encoding="utf-8").splitlines()][:40]
    starter = STARTERS[profile]
    tokenizer = AutoTokenizer.from_pretrained(starter_store.prepare(starter))
    texts = [tokenizer(f"{row['instruction']}\n{row['response']}").input_ids[:256] for row in rows]
    logits_of: dict[str, list[torch.Tensor]] = {}
    for kind in ("float32", "bfloat16"):
        model = _transformers(starter, getattr(torch, kind))
        logits_of[kind] = [model(torch.tensor([ids])).logits[0].float() for ids in texts]
    base = load_base(load_settings(profile=profile))
    for kind, count in (("decoded", 1), ("read", 64)):
        logits_of[kind] = []
        for ids in texts:
            cache = base.model.new_cache()
            parts = []
            for begin in range(0, len(ids), count):
                part = ids[begin : begin + count]
                if count == 1:
                    inputs = [DecodeInput(part[0], cache, None)]
                    parts.append(torch.stack(list(base.model.decode(inputs))))
                else:
                    parts.append(base.model.prefill(part, cache, None, keep=len(part)))
            logits_of[kind].append(torch.cat(parts))
    figures: dict[str, Any] = {}
    for kind, logits in logits_of.items():
        losses = [
            torch.nn.functional.cross_entropy(row[:-1], torch.tensor(ids[1:]), reduction="sum")
            for row, ids in zip(logits, texts, strict=True)
        ]
        count = sum(len(ids) - 1 for ids in texts)
        figures[kind] = {"perplexity": round(math.exp(float(sum(losses)) / count), 3)}
        for peer in ("bfloat16", "float32"):
            same = sum(
                int((row.argmax(-1) == other.argmax(-1)).sum())
                for row, other in zip(logits, logits_of[peer], strict=True)
            )
            figures[kind][f"agrees_with_{peer}"] = round(same / sum(map(len, texts)), 4)
    return figures


def _transformers(starter: Starter, dtype: torch.dtype) -> Any:
    return starter_store.load_model(starter, starter_store.prepare(starter), dtype)


def _peak() -> float:
    """GB at most so far. getrusage would count what the process that started this one had, too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 2**20, 3)


if __name__ == "__main__":
    app()
