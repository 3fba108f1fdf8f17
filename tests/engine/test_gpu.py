"""The engine on a GPU: 4-bit and bfloat16 bases, adapters, texts that are read together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from engine.engine import TorchEngine
from engine.interface import ChooseRequest, CompletionRequest, ScoreRequest, Usage
from engine.load_base import load_base
from tasks.spec import Decoding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
PROMPT = tuple(range(40, 60))
LABELS = ("positive", "negative", "neutral")
MESSAGES = ({"role": "user", "content": "A rather good film."},)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("bases") / "tiny-qwen3", "qwen3")


@pytest.fixture(scope="module")
def shelf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(folder, made, "one", 1)
    tiny.add_adapter(folder, made, "two", 2, r=3)
    return made


@pytest.fixture(params=["nf4", "none"])
def engine(request: pytest.FixtureRequest, folder: Path, shelf: Path) -> Iterator[TorchEngine]:
    how = {"quantization": request.param, "dtype": "bfloat16", "device": "cuda"}
    made = tiny.engine(load_base(tiny.settings(folder, **how)), shelf)
    yield made
    made.close()


def text_of(engine: TorchEngine, adapter: str | None, tokens: int = 24) -> str:
    request = CompletionRequest(PROMPT, adapter, Decoding(max_new_tokens=tokens))
    return "".join(item.text for item in engine.write(request) if not isinstance(item, Usage))


def test_adapters_change_the_answer_and_leave_no_trace(engine: TorchEngine) -> None:
    bare = text_of(engine, None)
    one, two = text_of(engine, "one"), text_of(engine, "two")
    assert len({bare, one, two}) == 3
    assert text_of(engine, None) == bare
    assert text_of(engine, "one") == one


def test_labels_get_likelihoods_of_the_adapter(engine: TorchEngine) -> None:
    bare, one = (
        engine.choose(ChooseRequest(MESSAGES, LABELS, name)).logprobs for name in (None, "one")
    )
    assert all(value < 0 for value in [*bare.values(), *one.values()])
    assert max(abs(bare[label] - one[label]) for label in LABELS) > 0.1


def test_together_is_as_alone_up_to_rounding(engine: TorchEngine) -> None:
    names = [None, "one", "two", "one"]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda name: text_of(engine, name, 6), names))
    alone = [text_of(engine, name, 6) for name in names]
    # In bfloat16 two tokens of a random base may lie within a rounding of each other.
    assert sum(a == b for a, b in zip(together, alone, strict=True)) >= 3


def test_scores_are_those_of_transformers_with_peft(folder: Path, shelf: Path) -> None:
    how = {"quantization": "none", "dtype": "bfloat16", "device": "cuda"}
    engine = tiny.engine(load_base(tiny.settings(folder, **how)), shelf)
    follow = (70, 71, 72, 73)
    scores = engine.score(ScoreRequest(PROMPT, (follow,), "one")).continuations[0]
    engine.close()
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to("cuda")
    model = PeftModel.from_pretrained(plain, shelf / "one").eval()
    with torch.inference_mode():
        logits = model(torch.tensor([[*PROMPT, *follow]], device="cuda")).logits[0].float()
    wanted = torch.log_softmax(logits, -1)[len(PROMPT) - 1 : -1]
    expected = [float(wanted[i, token]) for i, token in enumerate(follow)]
    assert scores.logprobs == pytest.approx(expected, abs=0.15)
