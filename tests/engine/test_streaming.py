"""Characters of several tokens arrive whole: a tiny model is taught to say them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.interface import Delta, WriteRequest
from engine.load_base import load_base

ANSWER = "你好，世界！😀👩‍🚀 Ça va"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers any short prompt with ANSWER, one byte a token."""
    folder = tiny.build(tmp_path_factory.mktemp("taught") / "model", "llama")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folder)
    prompt = words.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    answer = [*words(ANSWER, add_special_tokens=False).input_ids, words.eos_token_id]
    ids = torch.tensor([prompt + answer])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = model(ids, labels=labels).loss
        if loss < 0.01:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.05, "the lesson must be learned for the test to mean something"
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_every_piece_is_whole_characters(taught: Path, tmp_path: Path) -> None:
    engine = tiny.engine(load_base(tiny.settings(taught)), tmp_path)
    stream = engine.write(WriteRequest(({"role": "user", "content": "hi"},)))
    pieces = [item.text for item in stream if isinstance(item, Delta)]
    engine.close()
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 10
    assert not any("\ufffd" in piece for piece in pieces)
