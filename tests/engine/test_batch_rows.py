"""Rows of tables: the same numbers as alone, and behind everybody else."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from engine.base_model import Base, BaseModel
from engine.engine import TorchEngine
from engine.interface import Choice, ChooseRequest, Delta, Usage, WriteRequest
from engine.kv_cache import KVCache, ScoreInput
from engine.load_base import load_base
from engine.passes import PassLimit, Running, one_pass
from engine.prefix_cache import PrefixCache
from engine.scheduled_requests import (
    ForwardPasses,
    ScheduledChoice,
    ScheduledRequest,
    ScheduledWrite,
)
from engine.scheduler import Scheduler
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


@dataclass
class Counted(ScheduledRequest):
    """Makes so many passes, once the gate is open, and logs each under its name, and its end."""

    name: str = ""
    count: int = 0
    log: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def run(self, base: Base, prefixes: PrefixCache) -> ForwardPasses:
        yield None
        for _ in range(self.count):
            if self.ended():
                break
            assert self.gate.wait(60)
            self.log.append(self.name)
            yield None
        self.log.append(f"{self.name} ends")
        self.out.put(self.usage(0, 0.0, "end"))


def test_somebody_who_comes_runs_before_the_rows_that_run(tiny_base: Base) -> None:
    scheduler, log, gate = Scheduler(tiny_base, 8, 8), list[str](), threading.Event()
    never, shared = threading.Event(), {"log": log, "gate": gate}
    requests = [
        Counted([0], None, never, math.inf, name="row", count=5, batch="table", **shared)
        for _ in range(12)
    ]
    for request in requests:
        scheduler.submit(request)
    person = Counted([0], None, never, math.inf, name="person", count=150, **shared)
    scheduler.submit(person)
    gate.set()
    for request in [*requests, person]:
        request.out.get(timeout=60)
    scheduler.close()
    began = log.index("person")
    ended = len(log) - 1 - log[::-1].index("person")
    most = tiny_base.model.max_threads  # rows in a round
    assert began <= 2 * most  # what ran already when it came
    assert log[began:ended].count("row") <= 2 * most  # once in a hundred rounds
    assert log.count("row") == 60  # and the rows come to an end


def test_rows_of_a_stopped_table_do_not_wait_for_those_who_chat(tiny_base: Base) -> None:
    scheduler, log, gate = Scheduler(tiny_base, 8, 8), list[str](), threading.Event()
    stop, leave, shared = threading.Event(), threading.Event(), {"log": log, "gate": gate}
    person = Counted([0], None, leave, math.inf, name="person", count=10**6, **shared)
    scheduler.submit(person)
    rows = [
        Counted([0], None, stop, math.inf, name="row", count=5, batch="table", **shared)
        for _ in range(scheduler.max_rows)
    ]
    for row in rows:
        scheduler.submit(row)
    stop.set()
    gate.set()
    for row in rows:
        row.out.get(timeout=60)
    leave.set()
    last = len(log) - 1 - log[::-1].index("row ends")
    assert log[:last].count("person") < 200, "all of them at the rows' first turn"
    scheduler.close()


def test_nothing_is_read_for_a_row_that_was_stopped(tiny_base: Base) -> None:
    stop, limit = threading.Event(), PassLimit(1, 1)
    rows: list[ScheduledRequest] = [
        ScheduledChoice([1, 2, 3], None, stop, math.inf, batch="t", labels={"a": [4, 5]})
        for _ in range(2)
    ]
    rows.append(ScheduledWrite([1, 2, 3], None, stop, math.inf, batch="t"))
    running = [Running(row, row.run(tiny_base, PrefixCache())) for row in rows]
    with torch.inference_mode():
        assert list(one_pass(tiny_base.model, running, limit)), "one text is scored, one is read"
        assert [one.done for one in running] == [True, False, False]
        stop.set()
        assert not list(one_pass(tiny_base.model, running[1:], limit))
    assert all(one.done for one in running)
    choice, usage = (row.out.get(timeout=1) for row in rows[1:])
    assert isinstance(choice, Choice)
    assert (choice.logprobs, choice.usage.stopped) == ({}, "stop")
    while not isinstance(usage, Usage):
        usage = rows[2].out.get(timeout=1)
    assert usage.stopped == "stop"


class Held:
    """A model that leaves scoring off again and again until the gate is open."""

    def __init__(self, model: BaseModel[Any], gate: threading.Event) -> None:
        self._model, self.gate, self.left_off = model, gate, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def score(self, inputs: Sequence[ScoreInput[Any]]) -> Generator[None, None, list[list[float]]]:
        while not self.gate.is_set():
            self.left_off += 1
            yield
        return (yield from self._model.score(inputs))


def test_somebody_who_comes_does_not_wait_for_a_pass_of_many_rows(tiny_base: Base) -> None:
    gate, never = threading.Event(), threading.Event()
    held = Held(tiny_base.model, gate)
    scheduler = Scheduler(replace(tiny_base, model=held), 8, 8)
    rows = [
        ScheduledChoice([1, 2, 3 + i], None, never, math.inf, batch="t", labels={"a": [4, 5]})
        for i in range(3)
    ]
    for row in rows:
        scheduler.submit(row)
    while not held.left_off:
        time.sleep(0.01)
    for _ in range(3):
        opened = threading.Event()
        opened.set()
        person = Counted([0], None, never, math.inf, name="person", count=30, gate=opened)
        scheduler.submit(person)
        person.out.get(timeout=60)
    assert all(row.out.empty() for row in rows)
    gate.set()
    scores = [row.out.get(timeout=60) for row in rows]
    assert all(isinstance(one, Choice) and one.usage.stopped == "end" for one in scores)
    scheduler.close()


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
    begun.keys[:] = 9  # the row reads on
    again = prefixes.take_beginning("one", [1, 2, 3, 5], None)
    assert again is not None
    assert again[0].keys[:, :, :3].eq(7).all(), "what is kept is nobody's"


def test_what_rows_begin_with_is_kept_while_it_is_shared() -> None:
    def put(prompt: list[int]) -> None:
        cache = KVCache(1, 1, 4)
        cache.reserve(len(prompt))
        cache.length = len(prompt)
        prefixes.put_beginning("table", prompt, None, cache)

    def shared(prompt: list[int]) -> int:
        found = prefixes.take_beginning("table", prompt, None)
        assert found is not None
        assert found[0].length == found[1]
        return found[1]

    prefixes = PrefixCache()
    put([1, 2, 3, 4])
    put([1, 2, 5, 6])
    assert shared([1, 2, 3, 9]) == 3, "the first is kept"
    put([7, 8, 9])  # shares less: from now on prompts may begin so
    assert shared([7, 8, 1]) == 2
