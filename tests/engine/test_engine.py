"""What the engine promises, on tiny models of two architectures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from polling import settled
from transformers import AutoModelForCausalLM

from core.errors import EngineBusy, InputError, SettingsError, SetupError, TooLong, UnknownName
from engine.base_model import Base
from engine.engine import TorchEngine
from engine.interface import (
    ChooseRequest,
    CompletionRequest,
    Delta,
    Grammar,
    PrefillProgress,
    ScoreRequest,
    Usage,
    WriteRequest,
)
from engine.load_base import load_base
from engine.scheduled_requests import PREFILL_CHUNK
from tasks.spec import Decoding

NAMES = ["red", "green", "blue"]


def ask(text: str, adapter: str | None = None, **decoding: float) -> WriteRequest:
    return WriteRequest(({"role": "user", "content": text},), adapter, Decoding(**decoding))


def written(engine: TorchEngine, request: WriteRequest | CompletionRequest) -> str:
    return "".join(item.text for item in engine.write(request) if isinstance(item, Delta))


def usage(engine: TorchEngine, request: WriteRequest) -> Usage:
    last = list(engine.write(request))[-1]
    assert isinstance(last, Usage)
    return last


@pytest.fixture(scope="session")
def shelf(any_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(NAMES):
        tiny.add_adapter(any_folder, folder, name, seed)
    return folder


@pytest.fixture
def engine(tiny_base: Base, shelf: Path) -> Iterator[TorchEngine]:
    running = tiny.engine(tiny_base, shelf)
    yield running
    running.close()


def test_greedy_answers_are_transformers_own(
    engine: TorchEngine, any_folder: Path, tiny_base: Base
) -> None:
    plain = AutoModelForCausalLM.from_pretrained(any_folder, dtype=torch.float32)
    prompt = torch.tensor([tiny_base.template.prompt_ids(({"role": "user", "content": "Hello"},))])
    ids = plain.generate(prompt, max_new_tokens=30, do_sample=False)[0, prompt.shape[1] :]
    expected = tiny_base.template.tokenizer.decode(ids, skip_special_tokens=True)
    assert written(engine, ask("Hello", max_new_tokens=30)).rstrip("�") == expected.rstrip("�")


def test_each_adapter_computes_what_peft_computes(
    engine: TorchEngine, any_folder: Path, shelf: Path, tiny_base: Base
) -> None:
    labels = ("good", "bad", "a longer label")
    prompt = ({"role": "user", "content": "How was it?"},)
    plain = AutoModelForCausalLM.from_pretrained(any_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(plain, shelf / "red")
    ids = tiny_base.template.prompt_ids(prompt)
    for label, score in engine.choose(ChooseRequest(prompt, labels, "red")).logprobs.items():
        answer = tiny_base.template.tokenizer(label, add_special_tokens=False).input_ids
        answer = [*answer, tiny_base.template.tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(torch.tensor([ids + answer])).logits[0]
        chances = logits[len(ids) - 1 : -1].log_softmax(-1)
        expected = sum(float(chances[i, token]) for i, token in enumerate(answer))
        assert score == pytest.approx(expected, abs=1e-4)


def test_scores_of_raw_text_are_what_peft_computes(
    engine: TorchEngine, any_folder: Path, shelf: Path, tiny_base: Base
) -> None:
    prompt = engine.tokens("Once upon a time")
    texts = [" x", " there was a bridge", " and so on" * (PREFILL_CHUNK // 8)]
    continuations = [engine.tokens(text) for text in texts]
    assert len(continuations[-1]) > PREFILL_CHUNK, "read in parts"
    plain = AutoModelForCausalLM.from_pretrained(any_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(plain, shelf / "red")
    request = ScoreRequest(tuple(prompt), tuple(map(tuple, continuations)), "red")
    scores = engine.score(request)
    assert scores.usage.stopped == "end"
    assert scores.usage.tokens == len(prompt) + sum(map(len, continuations))
    for ids, scored in zip(continuations, scores.continuations, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]
        assert scored.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
        assert scored.greedy == tuple((logits.argmax(-1) == torch.tensor(ids)).tolist())
    assert engine.score(request).continuations == scores.continuations


def test_raw_token_ids_are_gone_on_from_without_a_template(
    engine: TorchEngine, any_folder: Path, tiny_base: Base
) -> None:
    ids = engine.tokens("Once upon a time")
    plain = AutoModelForCausalLM.from_pretrained(any_folder, dtype=torch.float32)
    whole = plain.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)
    generated = whole[0, len(ids) :]
    expected = tiny_base.template.tokenizer.decode(generated, skip_special_tokens=True)
    request = CompletionRequest(tuple(ids), None, Decoding(max_new_tokens=12))
    assert written(engine, request).rstrip("�") == expected.rstrip("�")
    scored = engine.score(ScoreRequest(tuple(ids), (tuple(generated.tolist()),)))
    assert all(scored.continuations[0].greedy), "what is written is what is likeliest"


def test_scoring_nothing_and_too_much(engine: TorchEngine) -> None:
    for prompt, continuations in (((), ((1,),)), ((1,), ()), ((1,), ((1,), ()))):
        with pytest.raises(InputError, match="nothing to score"):
            engine.score(ScoreRequest(prompt, continuations))
    whole = ScoreRequest((1,) * 500, ((1,) * 13,))  # the last token is not read: 512
    assert len(engine.score(whole).continuations[0].logprobs) == 13
    with pytest.raises(TooLong, match="501 tokens long; this model reads 500"):
        engine.score(ScoreRequest((1,) * 501, whole.continuations))
    assert engine.start_token == engine.tokens(tiny.END)[0], "this base begins as it ends"


@pytest.mark.parametrize(
    "config", [{"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}}, {"r": 8, "lora_alpha": 1}]
)
def test_scaling_variants_match_peft(
    any_folder: Path, tiny_base: Base, tmp_path: Path, config: dict[str, object]
) -> None:
    tiny.add_adapter(any_folder, tmp_path, "variant", 5, **config)
    engine = tiny.engine(tiny_base, tmp_path)
    ids = tiny_base.template.prompt_ids(({"role": "user", "content": "x"},))
    plain = AutoModelForCausalLM.from_pretrained(any_folder, dtype=torch.float32)
    with torch.no_grad():
        model = PeftModel.from_pretrained(plain, tmp_path / "variant")
        expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    request = ChooseRequest(({"role": "user", "content": "x"},), ("a",), "variant")
    first = tiny_base.template.tokenizer("a").input_ids[0]
    with torch.inference_mode():
        ours, adapter = tiny_base.model, engine.adapters.get("variant")
        logits = ours.prefill(ids, ours.new_cache(), adapter)[0]
    engine.choose(request)
    engine.close()
    assert float(logits.log_softmax(-1)[first]) == pytest.approx(float(expected[first]), abs=1e-4)


def test_concurrent_requests_get_the_text_of_each_alone(engine: TorchEngine) -> None:
    requests = [
        ask("word " * (3 + 7 * i), adapter, max_new_tokens=24)
        for i, adapter in enumerate([None, *NAMES] * 3)
    ]
    alone = [written(engine, request) for request in requests]
    assert len(set(alone)) > len(NAMES), "the adapters must make a difference"
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda request: written(engine, request), requests))
    assert together == alone


def test_a_used_adapter_leaves_the_base_bit_identical(engine: TorchEngine) -> None:
    request = ChooseRequest(({"role": "user", "content": "same"},), ("yes", "no"))
    before = engine.choose(request).logprobs
    written(engine, ask("same", "green", max_new_tokens=5))
    assert engine.choose(request).logprobs == before


def test_stop_ends_the_computation(engine: TorchEngine) -> None:
    stop = threading.Event()
    stream = engine.write(ask("go on", max_new_tokens=400), stop)
    next(stream)
    stop.set()
    passes = engine.passes
    last = list(stream)[-1]
    assert isinstance(last, Usage)
    assert last.stopped == "stop"
    assert last.tokens < 400
    assert settled(lambda: engine.passes, still=0.2)
    assert engine.passes - passes <= 2, "it went on after stop"


def test_a_caller_that_leaves_ends_the_computation(engine: TorchEngine) -> None:
    stream = engine.write(ask("go on", max_new_tokens=400))
    next(stream)
    passes = engine.passes
    stream.close()  # type: ignore[attr-defined]
    assert settled(lambda: engine.passes, still=0.2)
    assert engine.passes - passes <= 2


def test_a_string_that_ends_the_answer_ends_the_computation(engine: TorchEngine) -> None:
    whole = written(engine, ask("Hello", max_new_tokens=40))
    end = whole[10:12]
    request = replace(ask("Hello", max_new_tokens=40), until=(end, "never said"))
    assert written(engine, request) == whole[: whole.find(end)]
    cost = usage(engine, request)
    assert cost.stopped == "until"
    assert cost.tokens < 40


def test_log_likelihoods_of_written_tokens_are_those_of_scoring(engine: TorchEngine) -> None:
    request = replace(ask("Hello", "red", max_new_tokens=12), logprobs=3)
    pieces = [item for item in engine.write(request) if isinstance(item, Delta)]
    tokens = [token for piece in pieces for token in piece.tokens]
    prompt = tuple(engine._base.template.prompt_ids(request.messages))
    first = engine.score(
        ScoreRequest(
            prompt, tuple((i,) for i in range(len(engine._base.template.tokenizer))), "red"
        )
    )
    chances = sorted((one.logprobs[0] for one in first.continuations), reverse=True)
    assert [value for _, value in tokens[0].likeliest] == pytest.approx(chances[:3], abs=1e-4)
    assert all(token.logprob == token.likeliest[0][1] for token in tokens), "greedy is likeliest"
    mean = sum(token.logprob for token in tokens) / len(tokens)
    assert usage(engine, request).logprob == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize(
    "decoding",
    [
        {"temperature": 0.0, "dry_multiplier": 1.0},
        {"temperature": 1.0, "seed": 5, "repetition_penalty": 1.2},
    ],
)
def test_an_answer_that_is_gone_on_with_is_the_one_that_was_not_cut(
    engine: TorchEngine, decoding: dict[str, float]
) -> None:
    letters = Grammar("regex", "[a-z]{500}")  # an untrained base writes what is no text
    request = replace(ask("Hello", "red", max_new_tokens=40, **decoding), grammar=letters)
    whole = written(engine, request)
    cut = next(n for n in range(10, 40) if len(engine.tokens(whole[:n])) == n)
    left = Decoding(max_new_tokens=40 - cut, **decoding)
    assert (
        whole[:cut] + written(engine, replace(request, begun=whole[:cut], decoding=left)) == whole
    )


def test_a_long_prompt_says_how_far_it_is_read(engine: TorchEngine) -> None:
    request = ask("x" * (PREFILL_CHUNK + 40), max_new_tokens=2)
    *_, last = items = list(engine.write(request))
    read = [item for item in items if isinstance(item, PrefillProgress)]
    assert [item.read for item in read] == [PREFILL_CHUNK * n for n in range(1, len(read) + 1)]
    assert read
    assert {item.prompt_tokens for item in read} == {last.prompt_tokens}


def test_a_loop_is_ended_where_that_is_wished(engine: TorchEngine) -> None:
    rounds = Grammar("regex", "(round we go ){99}")
    request = replace(ask("Hello", max_new_tokens=400), grammar=rounds)
    guarded = usage(engine, replace(request, stop_loops=True))
    assert usage(engine, request).stopped == "length"
    assert guarded.stopped == "loop"
    assert guarded.tokens < 300


def test_an_answer_ends_where_the_context_does(engine: TorchEngine) -> None:
    cost = usage(engine, ask("x" * 440, max_new_tokens=8192))
    assert cost.stopped in {"length", "end"}
    assert cost.prompt_tokens + cost.tokens <= engine.context_tokens


def test_the_time_limit_ends_the_answer(tiny_base: Base, shelf: Path) -> None:
    engine = tiny.engine(tiny_base, shelf, time_limit=0.05)
    assert usage(engine, ask("go on", max_new_tokens=400)).stopped in {"time", "end"}
    engine.close()


def test_too_long_names_the_numbers_and_computes_nothing(engine: TorchEngine) -> None:
    with pytest.raises(TooLong, match=r"\d+ tokens long; this model reads 496"):
        written(engine, ask("x" * 600))
    assert engine.passes == 0


def test_a_full_queue_says_so(tiny_base: Base, shelf: Path) -> None:
    engine = tiny.engine(tiny_base, shelf, max_running=1, max_waiting=0)
    with pytest.raises(EngineBusy, match="waiting"):
        written(engine, ask("hello"))
    engine.close()


def test_closing_ends_those_who_wait(engine: TorchEngine) -> None:
    stream = engine.write(ask("go on", max_new_tokens=400))
    next(stream)
    engine.close()
    with pytest.raises(EngineBusy, match="shutting down"):
        list(stream)


def test_unknown_adapter_and_no_labels(engine: TorchEngine) -> None:
    with pytest.raises(UnknownName, match="Did you mean green"):
        written(engine, ask("x", "gren"))
    with pytest.raises(InputError, match="labels"):
        engine.choose(ChooseRequest(({"role": "user", "content": "x"},), ()))


def test_the_same_seed_gives_the_same_text(engine: TorchEngine) -> None:
    draws = [
        written(engine, ask("x", max_new_tokens=20, temperature=1.0, top_p=0.9, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantized_bases_take_adapters(
    any_folder: Path, shelf: Path, tiny_base: Base, quantization: str
) -> None:
    base = load_base(tiny.settings(any_folder, quantization=quantization))
    engine = tiny.engine(base, shelf)
    exact = tiny.engine(tiny_base, shelf)
    request = ChooseRequest(({"role": "user", "content": "x"},), ("yes", "no"), "red")
    scores, reference = engine.choose(request).logprobs, exact.choose(request).logprobs
    tolerance = 0.05 if quantization == "int8" else 0.3
    for label in reference:
        assert scores[label] == pytest.approx(reference[label], rel=tolerance)
    assert written(engine, ask("x", "red", max_new_tokens=9)) != written(
        engine, ask("x", max_new_tokens=9)
    )
    engine.close()
    exact.close()


def test_a_missing_base_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"could not be loaded.*--profile starter"):
        load_base(tiny.settings(tmp_path))


def test_settings_that_do_not_fit_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(SettingsError, match="float32"):
        load_base(tiny.settings(tiny_folder, quantization="int8", dtype="bfloat16"))
