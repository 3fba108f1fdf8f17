"""A token and a prompt beside what the machine can do: bytes and operations over time.

    python -m benchmarks.roofline
    python -m benchmarks.roofline --base smollm2

What can be done is measured: how fast memory is read by one core and by all, and how many products
of 8-bit weights one core makes where they stand in its cache. Williams et al. 2009, Roofline,
doi.org/10.1145/1498765.1498785. Quiet cores; the last line on standard output is one JSON object.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.speed import machine
from core.settings import load_settings
from engine.cpu_model import CPUModel
from engine.kernels import decoder, products
from engine.kernels.compiler import compiled
from engine.kernels.layout import LANES, token_row
from engine.kv_cache import DecodeInput
from engine.load_base import load_base

READ_BYTES = 2**29
IN_CACHE, INPUTS = (768, 640), 128  # a weight that stays in the second cache
READ_BEFORE, PROMPT = 64, 512  # tokens: of an answer's prompt, and of one to be read
ROUNDS = 9


@compiled
def _read(numbers: NDArray[np.int64]) -> int:
    total = 0
    for i in range(numbers.shape[0]):
        total += numbers[i]
    return total


def best(*work: Callable[[], object]) -> list[float]:
    """Seconds of each, one after another, the least of some rounds after a warm-up."""
    rounds = []
    for _ in range(ROUNDS + 1):
        times = [time.perf_counter()]
        for one in work:
            one()
            times.append(time.perf_counter())
        rounds.append([after - before for before, after in pairwise(times)])
    return [min(times) for times in zip(*rounds[1:], strict=True)]


def read_rate(cores: int) -> float:
    """GB a second that so many cores read at one time."""
    numbers = np.array_split(np.ones(READ_BYTES // 8, np.int64), cores)
    with ThreadPoolExecutor(cores) as pool:
        [seconds] = best(lambda: list(pool.map(_read, numbers)))
    return READ_BYTES / seconds / 1e9


def product_rate() -> float:
    """Billions of multiplications a second, one core, in cache."""
    out, width = IN_CACHE
    weight = np.ones((out // LANES, width, LANES), np.int8)
    scale, x = np.ones(out, np.float32), np.ones((INPUTS, width), np.float32)
    y = np.empty((INPUTS, out), np.float32)
    [seconds] = best(lambda: [products.matmul(weight, scale, x, y) for _ in range(50)])
    return 50 * INPUTS * out * width / seconds / 1e9


def token(model: CPUModel, one: float, all_cores: float) -> dict[str, Any]:
    """Layers, which one core reads, and vocabulary, which all do: bytes, time, the time to read."""
    weights, config, cache = model._packed.weights, model._packed.config, model.new_cache()
    model.prefill(list(range(1000, 1000 + READ_BEFORE)), cache, None)
    cache.reserve(1)
    row = token_row(cache.keys.numpy(), cache.values.numpy(), cache.length, model._no_lora)
    layers = sum(w.nbytes for w in (weights.qkv, weights.out, weights.gate_up, weights.down))
    x, table = model._packed.embed([1000]), np.array([row], np.int64)
    read, score = best(  # one after the other, so that neither finds its weights in a cache
        partial(decoder.decode, x, table, config.key_heads, weights), lambda: model._logits(x)
    )
    parts = {"layers": (layers, one, read), "vocabulary": (weights.head.nbytes, all_cores, score)}
    return {
        name: {
            "mb": round(size / 1e6, 1),
            "ms": round(1000 * seconds, 2),
            "ms_to_read": round(size / rate / 1e6, 2),
        }
        for name, (size, rate, seconds) in parts.items()
    }


def prompt(model: CPUModel, rate: float) -> dict[str, float]:
    """All cores read one: its products, its time, the time that its products take in cache."""
    weights, ids = model._packed.weights, list(range(1000, 1000 + PROMPT))
    each = sum(w.size for w in (weights.qkv, weights.out, weights.gate_up, weights.down))
    billions = (PROMPT * each + weights.head.size) / 1e9
    [seconds] = best(lambda: model.prefill(ids, model.new_cache(), None))
    return {
        "tokens": PROMPT,
        "billion_products": round(billions, 1),
        "ms": round(1000 * seconds, 1),
        "ms_of_products_in_cache": round(1000 * billions / rate / model.max_threads, 1),
    }


@torch.inference_mode()
def main(base: Annotated[str, typer.Option(help="starter or smollm2")] = "starter") -> None:
    """Measure the machine, then a token and a prompt."""
    model = load_base(load_settings(profile=base)).model
    assert isinstance(model, CPUModel)
    one, together, rate = read_rate(1), read_rate(model.max_threads), product_rate()
    cache = model.new_cache()
    model.prefill(list(range(1000, 1000 + READ_BEFORE)), cache, None)

    def decode() -> None:
        model.decode([DecodeInput(1000, cache, None)])
        model.truncate(cache, 1)

    found = {
        "machine": machine(),
        "base": base,
        "gb_a_second": {"one core": round(one, 1), "all": round(together, 1)},
        "billion_products_a_second": round(rate),
        "token": token(model, one, together) | {"ms": round(1000 * best(decode)[0], 2)},
        "prompt": prompt(model, rate),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    typer.run(main)
