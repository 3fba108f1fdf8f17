"""What every way of running a base promises: on the CPU in 8 bits, and through transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from engine.base_model import Base
from engine.kv_cache import DecodeInput, ScoreInput
from engine.load_base import load_base
from engine.lora import LoraAdapter

IDS = list(range(40, 60))
WAYS = {"int8": "CPUModel", "none": "TransformersModel"}


@pytest.fixture(params=WAYS)
def base(any_folder: Path, request: pytest.FixtureRequest) -> Base:
    loaded = load_base(tiny.settings(any_folder, quantization=request.param))
    assert type(loaded.model).__name__ == WAYS[request.param]
    return loaded


def near(logits: torch.Tensor, others: torch.Tensor) -> None:
    assert (logits - others).norm() < 0.02 * others.norm()


@torch.inference_mode()
def test_tokens_get_the_same_logits_in_a_prompt_and_one_by_one(base: Base) -> None:
    model = base.model
    prefilled = model.prefill(IDS, model.new_cache(), None, keep=len(IDS))
    caches = [model.new_cache(), model.new_cache()]
    for i, token in enumerate(IDS):
        if i == 0:  # transformers joins caches that have begun
            alone = [model.decode([DecodeInput(token, cache, None)])[0] for cache in caches]
        else:
            alone = list(model.decode([DecodeInput(token, cache, None) for cache in caches]))
        for logits in alone:
            near(logits, prefilled[i])


@torch.inference_mode()
def test_what_is_dropped_from_a_cache_leaves_no_trace(base: Base) -> None:
    model, cache = base.model, base.model.new_cache()
    model.prefill(IDS[:9], cache, None)
    first = model.prefill(IDS[9:12], cache, None)
    model.truncate(cache, 3)
    tiny.scored(model, [ScoreInput(IDS[9:12], [[70, 71, 74], [72]], cache, None)])
    model.truncate(cache, 3)
    assert torch.equal(model.prefill(IDS[9:12], cache, None), first)


@torch.inference_mode()
def test_continuations_are_scored_by_their_tokens_logits(base: Base) -> None:
    model, continuations = base.model, [[70, 71, 74], [72], [73, 70]]
    (scores,) = tiny.scored(model, [ScoreInput(IDS, continuations, model.new_cache(), None)])
    for score, ids in zip(scores, continuations, strict=True):
        read = [*IDS, *ids[:-1]]
        logits = model.prefill(read, model.new_cache(), None, keep=len(ids)).float()
        tokens = torch.tensor(ids)[:, None]
        assert score == pytest.approx(
            float(torch.log_softmax(logits, -1).gather(-1, tokens).sum()), abs=2e-2
        )


@torch.inference_mode()
def test_a_prepared_adapter_changes_logits_and_an_empty_one_does_not(base: Base) -> None:
    model = base.model
    bare = model.prefill(IDS, model.new_cache(), None)
    none = LoraAdapter(model.prepare_lora({}), "none")
    assert torch.equal(model.prefill(IDS, model.new_cache(), none), bare)
    torch.manual_seed(0)
    factors = {
        name: (torch.randn(2, width), torch.randn(out, 2))
        for name, (out, width) in model.lora_shapes.items()
    }
    assert len(factors) == 14, "seven kinds of linear layers in two layers"
    some = LoraAdapter(model.prepare_lora(factors), "some")
    assert not torch.equal(model.prefill(IDS, model.new_cache(), some), bare)


def test_it_knows_where_it_is_and_what_ends_an_answer(base: Base) -> None:
    assert base.model.device.type == "cpu"
    assert base.template.end_token in base.end_tokens
    assert base.model.max_threads >= 1
