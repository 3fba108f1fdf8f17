"""Fallback: while a step's engine is away, another one answers in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.events import Event, Notice, StepFinished, StepStarted, TextDelta
from core.errors import AdapterError, EngineAway, UnknownName
from engine.interface import Engine

Attempt = Callable[[Engine], Iterator[Event]]  # the events of a step that an engine answers
FALLBACK_NOTICE = "The model server does not answer. The small starter model answers in its place."


def with_fallback(
    attempt: Attempt, *, index: int, engine: Engine, fallback: Engine | None
) -> Iterator[Event]:
    """The events of a step. Where the engine is away before it says anything, the step begins anew.

    Args:
        index: the step's place in the plan, for the notice.
        fallback: answers while the engine is away, if there is one.

    Raises:
        EngineAway: text is out already, or there is no fallback, or it lacks that adapter.
    """
    answering = False
    try:
        for event in attempt(engine):
            answering = answering or isinstance(event, TextDelta | StepFinished)
            yield event
        return
    except EngineAway as error:
        if answering or fallback is None:
            raise
        away = error
    try:
        for event in attempt(fallback):
            yield event
            if isinstance(event, StepStarted):
                yield Notice(index, "stand_in", FALLBACK_NOTICE)
    except (UnknownName, AdapterError) as error:
        raise EngineAway(f"{away} What stands in for it does not have this: {error}") from error
