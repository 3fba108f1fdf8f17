"""Rows of tables: the same numbers as alone, and behind everybody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny

from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, Usage, WriteRequest
from engine.kv_cache import KVCache
from engine.load_base import load_base
from engine.prefix_cache import PrefixCache
from tasks.spec import Decoding, Message

LABELS = ("positive", "negative", "so so")
TEXTS = ["good", "bad and long " * 9, "", "good", "an even longer text " * 9]


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEngine]:
    base = load_base(tiny.settings(tiny_folder, quantization="int8"))
    engine = tiny.engine(base, tmp_path_factory.mktemp("none"))
    yield engine
    engine.close()


def messages(text: str) -> tuple[Message, ...]:
    system: Message = {"role": "system", "content": "Say what the text is. " * 3}
    return (system, {"role": "user", "content": text})


def test_rows_together_get_the_numbers_that_each_gets_alone(engine: TorchEngine) -> None:
    alone = [engine.choose(ChooseRequest(messages(text), LABELS)).logprobs for text in TEXTS]

    def row(text: str) -> dict[str, float]:
        return engine.choose(ChooseRequest(messages(text), LABELS, batch="table")).logprobs

    with ThreadPoolExecutor(len(TEXTS)) as pool:
        assert list(pool.map(row, TEXTS)) == alone
        assert list(pool.map(row, TEXTS)) == alone


def test_written_rows_are_what_each_is_alone(engine: TorchEngine) -> None:
    def written(text: str, batch: str = "") -> str:
        request = WriteRequest(messages(text), decoding=Decoding(max_new_tokens=8), batch=batch)
        return "".join(item.text for item in engine.write(request) if isinstance(item, Delta))

    alone = [written(text) for text in TEXTS]
    with ThreadPoolExecutor(len(TEXTS)) as pool:
        assert list(pool.map(lambda text: written(text, "table"), TEXTS * 2)) == alone * 2


def test_somebody_who_comes_is_answered_before_the_rows_that_run(engine: TorchEngine) -> None:
    ended: list[str] = []
    begun = threading.Event()

    def write(name: str, batch: str, tokens: int) -> None:
        decoding = Decoding(max_new_tokens=tokens)
        for item in engine.write(WriteRequest(messages(name), decoding=decoding, batch=batch)):
            begun.set()
            if isinstance(item, Usage):
                ended.append(name)

    rows = [threading.Thread(target=write, args=(f"row {i}", "table", 60)) for i in range(6)]
    for thread in rows:
        thread.start()
    assert begun.wait(30)
    write("person", "", 30)
    assert ended[0] == "person"
    for thread in rows:
        thread.join(60)
    assert len(ended) == 7  # and the rows come to an end


def test_what_was_read_is_shared_within_a_table_alone() -> None:
    prefixes, cache = PrefixCache(), KVCache(1, 1, 4)
    cache.reserve(4)
    cache.keys[:, :, :4] = 7
    cache.length = 4
    prefixes.put_beginning("one", [1, 2, 3, 4], None, cache)
    assert prefixes.take_beginning("another", [1, 2, 3, 5], None) is None
    assert prefixes.take([1, 2, 3, 4, 5], None) is None  # nor with a conversation
    found = prefixes.take_beginning("one", [1, 2, 3, 5], None)
    assert found is not None
    begun, count = found
    assert (count, begun.length) == (3, 3)
    assert begun.keys[:, :, :3].eq(7).all()
    assert begun.keys is not cache.keys
