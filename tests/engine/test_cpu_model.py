"""The base without transformers' layers computes what transformers and PEFT compute."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM

from engine import int8
from engine.adapters import AdapterLibrary, library_of
from engine.architectures import ARCHITECTURES
from engine.base_model import Base
from engine.cpu_model import CPUModel
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, Grammar, Usage, WriteRequest
from engine.kernels.layout import HALF_FACTORS, INT8_INPUTS
from engine.kv_cache import INITIAL_POSITIONS, DecodeInput, KVCache, ScoreInput
from engine.load_base import load_base
from engine.prefix_cache import PrefixCache
from engine.transformers_model import TransformersModel
from tasks.spec import Decoding, Message

IDS = list(range(40, 60))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("direct") / f"tiny-{request.param}", request.param)


@pytest.fixture(scope="module")
def shelf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(folder, parent, "all", 1)
    tiny.add_adapter(folder, parent, "some", 2, r=3, target_modules=["k_proj", "up_proj"])
    tiny.add_adapter(folder, parent, "upper", 3, layers_to_transform=[1])
    return parent


@pytest.fixture
def base(folder: Path) -> Base:
    return load_base(tiny.settings(folder, quantization="int8"))


@pytest.fixture
def model(base: Base) -> CPUModel:
    assert isinstance(base.model, CPUModel)
    return base.model


@pytest.fixture
def engine(base: Base, shelf: Path) -> Iterator[TorchEngine]:
    running = tiny.engine(base, shelf)
    yield running
    running.close()


@pytest.fixture
def library(base: Base, shelf: Path) -> AdapterLibrary:
    return library_of(base, [shelf])


def rounded(folder: Path, adapter: Path | None) -> nn.Module:
    """Transformers' model with weights rounded to 8 bits, and PEFT's adapter as it is kept."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for module in plain.modules():
        if isinstance(module, nn.Linear):
            int8.quantize(module.weight.data)
    if not adapter:
        return plain
    model = PeftModel.from_pretrained(plain, adapter)
    for name, factor in model.named_parameters():
        if HALF_FACTORS and "lora_" in name:
            factor.data = factor.half().float()
    return model


@torch.no_grad()
def expected(folder: Path, adapter: Path | None, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = rounded(folder, adapter)(torch.tensor([ids])).logits[0]
    return logits


def close(logits: torch.Tensor, reference: torch.Tensor) -> None:
    """Equal, less what rounding the inputs to bytes takes where it is done."""
    if INT8_INPUTS:
        assert (logits - reference).norm() < 0.06 * reference.norm()
    else:
        torch.testing.assert_close(logits, reference, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", [None, "all", "some", "upper"])
@torch.inference_mode()
def test_tokens_one_by_one_and_together(
    folder: Path, model: CPUModel, library: AdapterLibrary, shelf: Path, name: str | None
) -> None:
    reference = expected(folder, shelf / name if name else None, IDS)
    adapter = library.get(name) if name else None
    decoded, prefilled = model.new_cache(), model.new_cache()
    for i, token in enumerate(IDS):
        close(model.decode([DecodeInput(token, decoded, adapter)])[0], reference[i])
    model.prefill(IDS[:7], prefilled, adapter)
    close(model.prefill(IDS[7:], prefilled, adapter)[0], reference[-1])


@torch.inference_mode()
def test_texts_read_together_get_the_bits_of_each_alone(
    model: CPUModel, library: AdapterLibrary
) -> None:
    names = (None, "all", "some", "all", "upper")
    alone, together = [], []
    for i, name in enumerate(names):
        adapter = library.get(name) if name else None
        for inputs in (alone, together):
            cache = model.new_cache()
            model.prefill(IDS[: 3 + 2 * i], cache, adapter)
            inputs.append(DecodeInput(50 + i, cache, adapter))
    for _ in range(3):
        each = [model.decode([one])[0] for one in alone]
        for one, other in zip(each, model.decode(together), strict=True):
            assert torch.equal(one, other)


@torch.inference_mode()
def test_guesses_get_the_bits_of_tokens_one_by_one(
    model: CPUModel, library: AdapterLibrary
) -> None:
    names, guesses = (None, "all", "all", "some"), [IDS[5:9], [], IDS[5:6], IDS[5:12]]
    alone, together = [], []
    for name, guessed in zip(names, guesses, strict=True):
        adapter = library.get(name) if name else None
        one_by_one, cache = model.new_cache(), model.new_cache()
        for own in (one_by_one, cache):
            model.prefill(IDS[:4], own, adapter)
        for token in [IDS[4], *guessed]:
            alone += model.decode([DecodeInput(token, one_by_one, adapter)])
        together.append(DecodeInput(IDS[4], cache, adapter, guessed))
    for model.cores in (1, 2, 3):
        for one, other in zip(alone, model.decode(together), strict=True):
            assert torch.equal(one, other)
        for one in together:
            model.truncate(one.cache, 1 + len(one.guesses))


@torch.inference_mode()
def test_a_prompt_gets_the_same_bits_on_any_number_of_cores(
    model: CPUModel, library: AdapterLibrary
) -> None:
    ids, adapter = [40 + i % 30 for i in range(150)], library.get("all")
    logits = []
    for model.cores in (1, 2, 3):
        cache = model.new_cache()
        first = model.prefill(ids[:90], cache, adapter, keep=90)
        logits.append(torch.cat([first, model.prefill(ids[90:], cache, adapter, keep=60)]))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


@torch.inference_mode()
def test_continuations_are_read_apart_and_leave_no_trace(
    folder: Path, model: CPUModel, library: AdapterLibrary, shelf: Path
) -> None:
    adapter, cache = library.get("all"), model.new_cache()
    model.prefill(IDS, cache, adapter)
    prompt, continuations = [76, 77], [[70, 71, 72], [72], [73, 74, 75]]
    (scores,) = tiny.scored(model, [ScoreInput(prompt, continuations, cache, adapter)])
    begin = len(IDS) + len(prompt) - 1
    for score, ids in zip(scores, continuations, strict=True):
        text = [*IDS, *prompt, *ids]
        logprobs = torch.log_softmax(expected(folder, shelf / "all", text[:-1]), -1)[begin:]
        each = [float(logprobs[i, token]) for i, token in enumerate(ids)]
        assert score == pytest.approx(sum(each), abs=len(ids) * (0.2 if INT8_INPUTS else 1e-3))
    after = model.prefill([80], cache, adapter)[0]
    close(after, expected(folder, shelf / "all", [*IDS, *prompt, 80])[-1])


@torch.inference_mode()
def test_texts_scored_together_get_the_bits_of_each_alone(
    model: CPUModel, library: AdapterLibrary
) -> None:
    def inputs() -> list[ScoreInput[KVCache]]:
        found = []
        for i, name in enumerate((None, "all", "some", "all", "upper")):
            adapter, cache = library.get(name) if name else None, model.new_cache()
            model.prefill(IDS[: 3 + 2 * i], cache, adapter)
            labels = [[70, 71], [72], [73, 74, 75 + i]][: 3 if i % 2 else 1]
            found.append(ScoreInput([40 + i] * (1 + 13 * i), labels, cache, adapter))
        return found

    model.cores = 1
    alone = [tiny.scored(model, [one])[0] for one in inputs()]
    for model.cores in (1, 2, 3):
        assert tiny.scored(model, inputs()) == alone


@torch.inference_mode()
def test_scoring_may_be_left_off_for_others(model: CPUModel) -> None:
    def input_() -> ScoreInput[KVCache]:
        return ScoreInput(IDS, [[70, 71], [72]], model.new_cache(), None)

    (alone,) = tiny.scored(model, [input_()])
    (other,) = tiny.scored(model, [ScoreInput(IDS[3:], [[72, 73]], model.new_cache(), None)])
    passes, left_off = model.score([input_()]), 0
    for _ in (read := tiny.Passes(passes)):
        left_off += 1
        between = tiny.scored(model, [ScoreInput(IDS[3:], [[72, 73]], model.new_cache(), None)])
        assert between == [other]
    assert read.result == [alone]
    assert left_off > 2


@torch.inference_mode()
def test_a_long_text_makes_its_cache_grow(folder: Path, model: CPUModel) -> None:
    ids = [40 + i % 30 for i in range(INITIAL_POSITIONS + 20)]
    cache = model.new_cache()
    model.prefill(ids[: INITIAL_POSITIONS - 1], cache, None)
    for token in ids[INITIAL_POSITIONS - 1 : -1]:
        model.decode([DecodeInput(token, cache, None)])
    close(model.prefill(ids[-1:], cache, None)[0], expected(folder, None, ids)[-1])


@pytest.mark.slow
@pytest.mark.skipif(not INT8_INPUTS, reason="this processor does not multiply bytes: no other way")
@pytest.mark.parametrize("half", ["", ",+f16c"], ids=["no float16", "float16"])
def test_it_is_exact_where_a_processor_does_not_multiply_bytes(half: str) -> None:
    """Some of this file again, compiled for another processor."""
    plain = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": f"+avx,+avx2,+fma{half}"}
    tests = [__file__, "-k", "one_by_one or continuations or bits"]
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


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_new_tokens=80),
        Decoding(max_new_tokens=80, temperature=0.3, seed=3),
        Decoding(max_new_tokens=80, repetition_penalty=1.1, dry_multiplier=0.8),
    ],
    ids=["greedy", "sampled", "penalized"],
)
def test_answers_are_the_same_without_guesses(
    base: Base, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, decoding: Decoding
) -> None:
    echo = Grammar("regex", "(the same words over and over ){3}")
    requests = [
        WriteRequest(say("the same words over and over " * 4), None, decoding),
        WriteRequest(say("the same words over and over"), "all", decoding, logprobs=2),
        WriteRequest(say("say it"), "some", decoding, until=("over ",), grammar=echo),
        WriteRequest(say("say it again"), None, decoding, grammar=echo),
    ]
    short = decoding.model_copy(update={"max_new_tokens": 7})
    requests += [replace(requests[0], decoding=short)]

    def answers() -> tuple[list[list[tuple[object, ...]]], int]:
        engine.forget()
        before, found = engine.passes, []
        for request in requests:
            *pieces, last = engine.write(request)
            assert isinstance(last, Usage)
            tokens = [one for piece in pieces if isinstance(piece, Delta) for one in piece.tokens]
            text = "".join(piece.text for piece in pieces if isinstance(piece, Delta))
            history = (*request.messages, {"role": "assistant", "content": text}, *say("and now?"))
            after = answer(engine, history, request.adapter)
            found.append((text, tokens, last.tokens, last.stopped, last.logprob, after))
        return found, engine.passes - before

    guessed, passes = answers()
    monkeypatch.setattr(base.model, "max_guesses", 0)
    plain, more = answers()
    assert guessed == plain
    assert passes < more


def test_answers_at_the_same_time_are_those_of_each_alone(engine: TorchEngine) -> None:
    requests = [(say(f"word {i} " * (1 + i)), [None, "all", "some"][i % 3]) for i in range(9)]
    alone = [answer(engine, *one) for one in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda one: answer(engine, *one), requests))
    assert together == alone
    assert len(set(alone)) > 3


def test_choices_beside_writing_are_those_of_each_alone(engine: TorchEngine) -> None:
    request = ChooseRequest(say("which?"), ("yes", "no", "a longer one"), "all")
    alone = engine.choose(request).logprobs
    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(answer, engine, say("go on"), "some") for _ in range(3)]
        choosing = [pool.submit(engine.choose, request) for _ in range(3)]
        assert all(one.result().logprobs == alone for one in choosing)
    assert len({one.result() for one in writing}) == 1


def test_the_next_turn_reads_only_what_is_new(model: CPUModel, library: AdapterLibrary) -> None:
    prefixes, cache = PrefixCache(), model.new_cache()
    assert prefixes.take(IDS, None) is None
    prefixes.put(IDS, None, cache)
    assert prefixes.take([*IDS, 70], library.get("all")) is None, "another adapter read otherwise"
    assert prefixes.take(IDS, None) is None, "nothing would be left to read"
    assert prefixes.take([*IDS[:-1], 99, 70], None) is None
    assert prefixes.take([*IDS, 70], None) == (cache, len(IDS))
    assert prefixes.take([*IDS, 70], None) is None, "it is in use"


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
    messages: list[str] = []
    base = load_base(tiny.settings(folder, quantization="int8"), messages.append)
    assert isinstance(base.model, TransformersModel)
    assert "silu, not gelu" in "".join(messages)
    engine = tiny.engine(base, tmp_path)
    assert answer(engine, say("hello"))
    engine.close()
