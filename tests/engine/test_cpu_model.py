"""The base without transformers' layers computes what transformers and PEFT compute."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM

from engine import int8
from engine.adapters import AdapterLibrary
from engine.base_model import Base, load_base
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, WriteRequest
from engine.kernels import BYTES
from engine.kv_cache import FIRST, Memory, Next
from engine.lora import LoraWeights
from engine.prefix_cache import Kept
from tasks.spec import Decoding, Message

IDS = list(range(40, 60))
KINDS = ["llama", "qwen2", "qwen3"]


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("direct") / f"tiny-{request.param}", request.param)


@pytest.fixture(scope="module")
def shelf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(folder, made, "all", 1)
    tiny.add_adapter(folder, made, "some", 2, r=3, target_modules=["k_proj", "up_proj"])
    tiny.add_adapter(folder, made, "upper", 3, layers_to_transform=[1])
    return made


@pytest.fixture
def base(folder: Path) -> Base:
    made = load_base(tiny.settings(folder, quantization="int8"))
    assert made.direct
    return made


@pytest.fixture
def engine(base: Base, shelf: Path) -> Iterator[TorchEngine]:
    made = tiny.engine(base, shelf)
    yield made
    made.close()


def weights(base: Base, shelf: Path, name: str | None) -> LoraWeights | None:
    library = AdapterLibrary([shelf], base.name, base.switch.shapes, base.lay_out)
    return library.get(name) if name else None


def rounded(folder: Path, adapter: Path | None) -> nn.Module:
    """Transformers' model with weights rounded to 8 bits, and PEFT's adapter on it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            int8.quantize(module.weight.data)
    return PeftModel.from_pretrained(model, adapter) if adapter else model


@torch.no_grad()
def expected(folder: Path, adapter: Path | None, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = rounded(folder, adapter)(torch.tensor([ids])).logits[0]
    return logits


def close(found: torch.Tensor, known: torch.Tensor) -> None:
    """Equal, less what rounding the inputs to bytes takes where it is done."""
    if BYTES:
        assert (found - known).norm() < 0.06 * known.norm()
    else:
        torch.testing.assert_close(found, known, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", [None, "all", "some", "upper"])
@torch.inference_mode()
def test_tokens_one_by_one_and_together(
    folder: Path, base: Base, shelf: Path, name: str | None
) -> None:
    known = expected(folder, shelf / name if name else None, IDS)
    adapter = weights(base, shelf, name)
    slow, quick = base.memory(), base.memory()
    for i, token in enumerate(IDS):
        found = base.step([Next(token, slow, adapter)])[0]
        close(found, known[i])
    base.read(IDS[:7], quick, adapter)
    found = base.read(IDS[7:], quick, adapter)[0]
    close(found, known[-1])


@torch.inference_mode()
def test_texts_read_together_get_the_bits_of_each_alone(base: Base, shelf: Path) -> None:
    adapters = [weights(base, shelf, name) for name in (None, "all", "some", "all", "upper")]
    alone, together = [], []
    for i, adapter in enumerate(adapters):
        for kept in (alone, together):
            memory = base.memory()
            base.read(IDS[: 3 + 2 * i], memory, adapter)
            kept.append(Next(50 + i, memory, adapter))
    for _ in range(3):
        expected = [base.step([text])[0] for text in alone]
        for one, other in zip(expected, base.step(together), strict=True):
            assert torch.equal(one, other)


@torch.inference_mode()
def test_a_prompt_gets_the_same_bits_on_any_number_of_cores(base: Base, shelf: Path) -> None:
    assert base.direct
    ids, adapter = [40 + i % 30 for i in range(150)], weights(base, shelf, "all")
    found = []
    for base.direct.cores in (1, 2, 3):
        memory = base.memory()
        first = base.read(ids[:90], memory, adapter, keep=90)
        found.append(torch.cat([first, base.read(ids[90:], memory, adapter, keep=60)]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@torch.inference_mode()
def test_branches_are_read_apart_and_leave_no_trace(folder: Path, base: Base, shelf: Path) -> None:
    adapter, memory = weights(base, shelf, "all"), base.memory()
    base.read(IDS, memory, adapter)
    rows = [[70, 71], [72], [73, 74, 75]]
    for row, logits in zip(rows, base.branches(rows, memory, adapter), strict=True):
        known = expected(folder, shelf / "all", IDS + row)[len(IDS) :]
        close(logits, known)
    head, *others = base.branches(rows, memory, adapter, trunk=[76, 77])
    trunk = [*IDS, 76, 77]
    known = expected(folder, shelf / "all", trunk)[-1:]
    close(head, known)
    for row, logits in zip(rows, others, strict=True):
        known = expected(folder, shelf / "all", trunk + row)[len(trunk) :]
        close(logits, known)
    after = base.read([80], memory, adapter)[0]
    known = expected(folder, shelf / "all", [*trunk, 80])[-1]
    close(after, known)


@torch.inference_mode()
def test_a_long_text_makes_its_memory_grow(folder: Path, base: Base) -> None:
    ids = [40 + i % 30 for i in range(FIRST + 20)]
    memory = base.memory()
    base.read(ids[: FIRST - 1], memory, None)
    for token in ids[FIRST - 1 : -1]:
        base.step([Next(token, memory, None)])
    found = base.read(ids[-1:], memory, None)[0]
    close(found, expected(folder, None, ids)[-1])


@pytest.mark.skipif(not BYTES, reason="this processor does not multiply bytes: no other way")
def test_it_is_exact_where_a_processor_does_not_multiply_bytes() -> None:
    """Some of this file again, compiled for another processor."""
    plain = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    tests = [__file__, "-k", "one_by_one or branches or bits"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, check=False, env=os.environ | plain, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def say(text: str, history: list[Message] | None = None) -> tuple[Message, ...]:
    return (*(history or []), {"role": "user", "content": text})


def answer(engine: TorchEngine, messages: tuple[Message, ...], adapter: str | None = None) -> str:
    request = WriteRequest(messages, adapter, Decoding(max_new_tokens=12))
    return "".join(item.text for item in engine.write(request) if isinstance(item, Delta))


def test_answers_at_the_same_time_are_those_of_each_alone(engine: TorchEngine) -> None:
    asked = [(say(f"word {i} " * (1 + i)), [None, "all", "some"][i % 3]) for i in range(9)]
    alone = [answer(engine, *one) for one in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda one: answer(engine, *one), asked))
    assert together == alone
    assert len(set(alone)) > 3


def test_choices_beside_writing_are_those_of_each_alone(engine: TorchEngine) -> None:
    request = ChooseRequest(say("which?"), ("yes", "no", "a longer one"), "all")
    alone = engine.choose(request).logprobs
    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(answer, engine, say("go on"), "some") for _ in range(3)]
        found = [pool.submit(engine.choose, request) for _ in range(3)]
        assert all(one.result().logprobs == alone for one in found)
    assert len({one.result() for one in writing}) == 1


def test_the_next_turn_reads_only_what_is_new(base: Base, shelf: Path) -> None:
    kept, other = Kept(base), weights(base, shelf, "all")
    reading, known = kept.take(IDS, None)
    assert known == 0
    assert isinstance(reading, Memory)
    kept.keep(IDS, None, reading)
    assert kept.take([*IDS, 70], other)[1] == 0, "another adapter read otherwise"
    assert kept.take(IDS, None)[1] == 0, "nothing would be left to read"
    assert kept.take([*IDS[:-1], 99, 70], None)[1] == 0
    assert kept.take([*IDS, 70], None) == (reading, len(IDS))
    assert kept.take([*IDS, 70], None)[1] == 0, "it is in use"


def test_a_conversation_gives_what_reading_it_anew_gives(base: Base, engine: TorchEngine) -> None:
    history: list[Message] = []
    for text in ("one", "two", "three"):
        fresh = tiny.engine(base, Path("nowhere"))
        expected = answer(fresh, say(text, history))
        fresh.close()
        assert answer(engine, say(text, history)) == expected
        history += [*say(text), {"role": "assistant", "content": expected}]


def test_other_bases_are_left_to_transformers_and_it_is_said(tmp_path: Path) -> None:
    folder = tiny.build(tmp_path / "odd", "llama", hidden_act="gelu")
    said: list[str] = []
    base = load_base(tiny.settings(folder, quantization="int8"), said.append)
    assert base.direct is None
    assert "silu, not gelu" in "".join(said)
    engine = tiny.engine(base, tmp_path)
    assert answer(engine, say("hello"))
    engine.close()
