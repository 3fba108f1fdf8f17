"""The fair queue: visitors take turns, are counted, and whoever stops leaves it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polling import eventually

from agent.agent import Agent
from agent.events import Event, Failed, Finished, Planned, Waiting
from agent.fair_queue import FairQueue
from agent.limits import Limits
from agent.options import TurnOptions
from agent.planning.planner import Planner
from core.errors import Draining, EngineBusy, TooMany
from core.settings import Settings
from engine.fake import FakeEngine
from tasks.spec import load_tasks

MANY = 99


class QueuedTurn:
    """A turn that is in the queue until it leaves."""

    def __init__(self, queue: FairQueue, visitor: str) -> None:
        self.visitor = visitor
        self.stop = threading.Event()
        self._stack = ExitStack()
        self._positions = self._stack.enter_context(queue.enqueue(visitor, self.stop))
        self.position = 0
        self.look()

    def look(self) -> int:
        """The position, which must have changed; 0 once the turn runs."""
        late = threading.Timer(5, self.stop.set)
        late.start()
        self.position = next(self._positions, 0)
        late.cancel()
        assert not self.stop.is_set()
        return self.position

    def leave(self) -> None:
        self._stack.close()


def test_one_visitor_with_many_requests_does_not_hold_back_another() -> None:
    queue = FairQueue(1, MANY, MANY)
    first, *others = [QueuedTurn(queue, who) for who in "aaaaabcc"]
    assert first.position == 0
    assert [(turn.visitor, turn.position) for turn in others] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("b", 2),
        ("c", 3),
        ("c", 5),
    ]
    a2, a3, a4, a5, b, c1, c2 = others
    running = first
    for following in (a2, b, c1, a3, c2, a4, a5):
        running.leave()
        running = following
        assert running.look() == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd--"), st.integers(0, MANY)), max_size=60))
def test_nobody_waits_while_another_could_run_or_is_overtaken(acts: list[tuple[str, int]]) -> None:
    """Visitors come, and turns that run or wait leave, in any order."""
    queue, running, waiting, first = (
        FairQueue(2, MANY, MANY),
        list[QueuedTurn](),
        list[QueuedTurn](),
        set[QueuedTurn](),
    )
    for act, which in acts:
        if act != "-":
            turn = QueuedTurn(queue, act)
            if turn.position:
                if act not in {other.visitor for other in waiting}:
                    first.add(turn)
                assert not first.intersection(waiting[turn.position - 1 :])
                waiting.insert(turn.position - 1, turn)
            else:
                running.append(turn)
        elif running or waiting:
            turn = [*running, *waiting][which % (len(running) + len(waiting))]
            (waiting if turn.position else running).remove(turn)
            turn.leave()
            while waiting and len(running) < 2:
                running.append(waiting.pop(0))
                assert running[-1].look() == 0
        assert (queue.running, queue.waiting) == (len(running), len(waiting))


def test_turns_are_counted_for_each_visitor_and_for_all() -> None:
    queue = FairQueue(1, 2, 2)
    turns = [QueuedTurn(queue, who) for who in "aab"]
    assert (queue.running, queue.waiting, queue.admitted, queue.full) == (1, 2, 3, True)
    with pytest.raises(TooMany, match="2 of your requests"):
        QueuedTurn(queue, "a")
    with pytest.raises(EngineBusy, match="3 requests are running or waiting"):
        QueuedTurn(queue, "b")
    for turn in turns:
        turn.leave()
    assert (queue.running, queue.waiting, queue.admitted, queue.full) == (0, 0, 0, False)
    queue.draining = True
    with pytest.raises(Draining):
        QueuedTurn(queue, "a")


@pytest.fixture
def agent(planner: Planner) -> Agent:
    """One turn at a time, of slow words."""
    limits = Limits(Settings(max_running=1, visitor_running=2))
    return Agent(FakeEngine(delay=0.02), load_tasks(), planner, limits)


def ask(agent: Agent, stop: threading.Event | None = None, words: int = 10) -> list[Event]:
    options = TurnOptions(visitor="somebody")
    return list(agent.answer("/chat " + "word " * words, stop=stop, options=options))


def test_a_turn_waits_for_another_and_says_so(agent: Agent) -> None:
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(ask, agent) for _ in range(2)]
        first, second = sorted((one.result() for one in made), key=len)
    assert isinstance(first[0], Planned)
    assert second == [Waiting(1), *second[1:]]
    assert isinstance(second[1], Planned)
    assert isinstance(second[-1], Finished)


def test_stop_leaves_the_queue_and_the_third_is_refused(agent: Agent) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, agent, None, 50)
        calls = agent.engine.calls  # type: ignore[attr-defined]
        assert eventually(lambda: calls)
        waiting = pool.submit(ask, agent, stop)
        assert eventually(lambda: agent.limits.queue.waiting)
        (refused,) = ask(agent)
        assert isinstance(refused, Failed)
        assert refused.kind == "TooMany"
        stop.set()
        assert waiting.result() == [Waiting(1), Finished("", {}, 0, 0.0, "stop")]
        assert (agent.limits.queue.waiting, agent.limits.queue.admitted) == (0, 1)
        assert len(calls) == 1
        assert isinstance(running.result()[-1], Finished)
    assert agent.limits.queue.admitted == 0


def test_closing_a_turn_that_waits_leaves_the_queue(agent: Agent) -> None:
    queue = agent.limits.queue
    with queue.enqueue("another", threading.Event()) as positions:
        assert list(positions) == []
        events = agent.answer("/chat Hello")
        assert next(events) == Waiting(1)
        events.close()  # type: ignore[attr-defined]
        assert queue.waiting == 0
    assert queue.admitted == 0
