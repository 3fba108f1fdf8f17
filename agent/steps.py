"""Run one step of a plan on the engine: write a text, or choose among labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent import block_writing, long_texts
from agent.choosing import choose
from agent.events import Event, Progress, StepFinished, StepStarted
from agent.fallback import with_fallback
from agent.judged_figures import measured
from agent.quality import cautions, doubts
from agent.step_run import StepRun
from agent.writing import write
from core.errors import InputError
from engine.interface import Engine


def run_step(run: StepRun, fallback: Engine | None = None) -> Iterator[Event]:
    """Yield the events of one step, from StepStarted to StepFinished.

    Args:
        fallback: answers while the run's engine is away, with its own adapters.

    Raises:
        NotAllowed: the turn may not use the adapter that answers the step.
    """
    yield from with_fallback(
        lambda engine: _run_once(replace(run, engine=engine)),
        index=run.index,
        engine=run.engine,
        fallback=fallback,
    )


def _run_once(run: StepRun) -> Iterator[Event]:
    if run.turn.options.grammar and run.task.kind == "choose":
        raise InputError(
            f"The task {run.task.name!r} chooses a label and writes nothing, so its answer has no "
            "form of its own. Leave response_format out, or ask /v1/classify."
        )
    run.turn.options.require_allowed(run.adapter)
    if run.turn.options.batch:
        yield from _row(run)
        return
    figures = measured(run)
    in_parts = long_texts.is_long(run)  # counts tokens: once
    temperature, most = _drawn(run, in_parts)
    yield StepStarted(
        run.index, run.step, run.adapter, figures,
        temperature=temperature, most=most, content=run.content,
    )  # fmt: skip
    if run.adapter and not run.engine.adapters.loaded(run.adapter):
        yield Progress(run.index, "adapter", 0, 1)
    for number, event in enumerate(_answer(run, in_parts)):
        if number == 0:  # the engine is there; else what stands in for it has its own
            yield from cautions(run, figures)
        if isinstance(event, StepFinished):
            yield from doubts(run, event)
        yield event


def _drawn(run: StepRun, in_parts: bool) -> tuple[float | None, int | None]:
    """The temperature of the step's text, and how many tokens it may have."""
    if run.task.kind == "choose":
        return None, None
    in_pieces = in_parts or run.task.split != "none"
    wished = run.turn.options.max_tokens is not None
    most = min(run.decoding.max_new_tokens, run.tokens_left) if wished or not in_pieces else None
    return run.decoding.temperature, most


def _row(run: StepRun) -> Iterator[Event]:
    """A step on a row of a table. What holds for all rows is not said of each, and a label's
    probability has a column of its own.
    """
    yield StepStarted(run.index, run.step, run.adapter)
    for event in _answer(run, long_texts.is_long(run)):
        if isinstance(event, StepFinished) and run.task.kind == "write":
            yield from doubts(run, event)
        yield event


def _answer(run: StepRun, in_parts: bool) -> Iterator[Event]:
    if in_parts:
        return long_texts.answer(run)
    if block_writing.works_on_files(run):
        return block_writing.write_blocks(run)
    return choose(run) if run.task.kind == "choose" else write(run)
