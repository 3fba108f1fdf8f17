"""What a follow-up points at: the turns before it, planned again when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.plan import Plan, Step
from tasks.spec import Message

MAX_TURNS = 12  # turns looked back over; a follow-up points at what is near
Decide = Callable[[Message, "EarlierTurns"], Plan | None]


class EarlierTurns:
    """The turns before a request, oldest first. Lives for one call of the planner.

    Args:
        turns: the earlier turns.
        decide: plans a user turn, given the conversation before it.
    """

    def __init__(self, turns: Sequence[Message], decide: Decide) -> None:
        self._turns = list(turns)[-MAX_TURNS:]
        self._end = len(self._turns)
        self._decide = decide
        self._planned: dict[int, Plan | None] = {}  # shared with the conversations inside

    def __bool__(self) -> bool:
        return self._end > 0

    @property
    def answer(self) -> str | None:
        """The last thing the assistant said."""
        turn = self._last("assistant")
        return turn["content"] if turn else None

    @property
    def results(self) -> list[str]:
        """What the steps of that came to, as far as it tells them apart."""
        turn = self._last("assistant")
        return (turn.get("results") or turn["content"].split("\n\n")) if turn else []

    @property
    def request(self) -> str | None:
        """The last thing the person said."""
        turn = self._last("user")
        return turn["content"] if turn else None

    def before(self) -> list[Step] | None:
        """The steps of the person's last turn; None when there is none or it cannot be planned."""
        plan = self.plan()
        return list(plan.steps) if plan else None

    def plan(self) -> Plan | None:
        """The plan of the person's last turn; None as `before`."""
        index = self._last_request()
        if index is None:
            return None
        if index not in self._planned:
            self._planned[index] = self._decide(self._turns[index], self._until(index))
        return self._planned[index]

    def asked_back(self) -> Plan | None:
        """The plan of the person's last turn, where a question was the answer to it."""
        plan = self.plan()
        return plan if plan and plan.question and plan.question.message == self.answer else None

    def before_request(self) -> EarlierTurns:
        """The turns before the person's last."""
        return self._until(self._last_request() or 0)

    def _until(self, end: int) -> EarlierTurns:
        inside = EarlierTurns(self._turns, self._decide)
        inside._end, inside._planned = end, self._planned
        return inside

    def _last_request(self) -> int | None:
        places = range(self._end - 1, -1, -1)
        return next((i for i in places if self._turns[i]["role"] == "user"), None)

    def _last(self, role: str) -> Message | None:
        turns = reversed(self._turns[: self._end])
        return next((turn for turn in turns if turn["role"] == role), None)
