"""Texts whose tokens are read in one pass compute what each computes alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from engine.adapters import library_of
from engine.architectures import ARCHITECTURES, FULL
from engine.base_model import Base
from engine.batched_decode import SPARE_POSITIONS, unsupported
from engine.engine import TorchEngine
from engine.interface import Delta, WriteRequest
from engine.kv_cache import DecodeInput
from engine.load_base import load_base
from engine.lora import LoraAdapter
from engine.transformers_model import TransformersModel
from tasks.spec import Decoding

NAMES = [None, "all", "some", "all", "upper"]
IDS = list(range(40, 60))
# Families with windows are read one request after another where transformers runs them.
WHOLE_TEXT = [name for name, one in ARCHITECTURES.items() if one.layer_types == {FULL}]


@pytest.fixture(scope="module", params=WHOLE_TEXT)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build(tmp_path_factory.mktemp("together") / f"tiny-{request.param}", request.param)


@pytest.fixture(scope="module")
def shelf(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("adapters")
    tiny.add_adapter(folder, parent, "all", 1)
    tiny.add_adapter(folder, parent, "some", 2, r=3, target_modules=["k_proj", "up_proj"])
    tiny.add_adapter(folder, parent, "upper", 3, layers_to_transform=[1])
    return parent


@pytest.fixture(scope="module")
def base(folder: Path) -> Base:
    loaded = load_base(tiny.settings(folder))
    assert isinstance(loaded.model, TransformersModel)
    assert loaded.model.batched
    return loaded


@pytest.fixture
def adapters(base: Base, shelf: Path) -> list[LoraAdapter | None]:
    library = library_of(base, [shelf])
    return [library.get(name) if name else None for name in NAMES]


@pytest.fixture
def engine(base: Base, shelf: Path) -> Iterator[TorchEngine]:
    running = tiny.engine(base, shelf)
    yield running
    running.close()


class Text:
    """A text read both ways."""

    def __init__(self, base: Base, length: int, adapter: LoraAdapter | None) -> None:
        self.model, self.adapter = base.model, adapter
        self.alone, self.beside = self.model.new_cache(), self.model.new_cache()
        for cache in (self.alone, self.beside):
            self.model.prefill(IDS[:length], cache, adapter)

    def next(self, token: int) -> DecodeInput[Any]:
        return DecodeInput(token, self.beside, self.adapter)

    def expected(self, token: int) -> torch.Tensor:
        return self.model.prefill([token], self.alone, self.adapter)[-1]


def compare(base: Base, texts: list[Text], token: int) -> None:
    together = base.model.decode([text.next(token) for text in texts])
    for text, logits in zip(texts, together, strict=True):
        torch.testing.assert_close(logits, text.expected(token), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_each_text_keeps_its_place_and_its_adapter(
    base: Base, adapters: list[LoraAdapter | None]
) -> None:
    texts = [Text(base, 3 + 4 * i, adapter) for i, adapter in enumerate(adapters)]
    for token in range(60, 64):
        compare(base, texts, token)


@torch.inference_mode()
def test_texts_come_and_go(base: Base, adapters: list[LoraAdapter | None]) -> None:
    one, two, three, four = (Text(base, 4 + i, adapters[i]) for i in range(4))
    for i, group in enumerate(
        [[one, two], [one, two, three], [three, two], [two], [two, three, one], [four, one]]
    ):
        compare(base, group, 60 + 2 * i)
        compare(base, group, 61 + 2 * i)


@torch.inference_mode()
def test_a_batch_makes_room_for_long_answers(
    base: Base, adapters: list[LoraAdapter | None]
) -> None:
    texts = [Text(base, 5, adapters[1]), Text(base, 9, adapters[2])]
    for i in range(SPARE_POSITIONS + 3):
        compare(base, texts, 40 + i % 50)


def test_answers_at_the_same_time_are_those_of_each_alone(engine: TorchEngine) -> None:
    def written(i: int) -> str:
        messages = ({"role": "user", "content": "Tell me " + "more " * i},)
        request = WriteRequest(messages, NAMES[i % len(NAMES)], Decoding(max_new_tokens=12 + 3 * i))
        return "".join(item.text for item in engine.write(request) if isinstance(item, Delta))

    expected = [written(i) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(written, range(8))) == expected


def test_other_attention_is_read_one_by_one_and_it_is_said(tmp_path: Path) -> None:
    sliding = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}
    folder, messages = tiny.build(tmp_path / "tiny", "qwen2", **sliding), []
    model = load_base(tiny.settings(folder), messages.append).model
    assert "not every layer attends to the whole text" in messages[-1]
    for cache in (caches := [model.new_cache(), model.new_cache()]):
        model.prefill(IDS, cache, None)
    assert len(model.decode([DecodeInput(7, cache, None) for cache in caches])) == 2
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    assert unsupported(eager) == "its attention is eager, not sdpa"
