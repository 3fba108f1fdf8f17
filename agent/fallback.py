"""A step is answered by the engine; while that is away, by what stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.events import Event, Notice, StepFinished, StepStarted, TextDelta
from core.errors import EngineAway, UnknownName
from engine.interface import Engine

Attempt = Callable[[Engine], Iterator[Event]]
SAID = "The model server does not answer. The small starter model answers in its place."


def answered(
    index: int, engine: Engine, stand_in: Engine | None, attempt: Attempt
) -> Iterator[Event]:
    """The events of a step. Where the engine is away before it says anything, the step begins anew.

    Raises:
        EngineAway: text is out already, or nothing stands in, or not for that adapter.
    """
    said = False
    try:
        for event in attempt(engine):
            said = said or isinstance(event, TextDelta | StepFinished)
            yield event
        return
    except EngineAway as error:
        if said or stand_in is None:
            raise
        away = error
    try:
        for event in attempt(stand_in):
            yield event
            if isinstance(event, StepStarted):
                yield Notice(index, "stand_in", SAID)
    except UnknownName as error:
        raise EngineAway(f"{away} What stands in for it does not have this: {error}") from error
