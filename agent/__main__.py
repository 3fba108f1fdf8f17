"""The agent in a terminal.

python -m agent ask "Translate into French: The train is late."
python -m agent route requests.jsonl
python -m agent batch reviews.csv --task sentiment --column text --output out.csv
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.batch.commands import batch
from agent.cleaning import clean
from agent.events import (
    Event,
    Failed,
    Finished,
    Notice,
    Planned,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.plan import Plan, Step
from agent.turn_record import StepRecord, TurnRecord
from core.errors import InputError, PatchbayError
from core.settings import load_settings
from core.terminal import aside, run
from tasks.spec import Message, TaskSpec, find_task, load_tasks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(batch)
Profile = Annotated[str | None, typer.Option(help="auto, starter, gpu, or a YAML file")]


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="the request; - reads it from standard input")],
    task: Annotated[str | None, typer.Option(help="answer with this task, unrouted")] = None,
    content: Annotated[str | None, typer.Option(help="the text to work on")] = None,
    file: Annotated[Path | None, typer.Option(help="a file with the text to work on")] = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Route and answer one request."""
    from agent.build import build_agent

    settings = load_settings(profile=profile)
    request = clean(sys.stdin.read() if text == "-" else text)
    chosen = find_task(load_tasks(), task).name if task else None
    given = _given(content, file)
    agent = build_agent(settings, lambda line: None if as_json else aside(line + " …"))
    try:
        events = agent.answer(request, task=chosen, content=given, explain=False)
        print(json.dumps(_record(events), ensure_ascii=False)) if as_json else _draw(events)
    finally:
        agent.close()


@app.command()
def route(
    file: Annotated[str, typer.Argument(help="JSON lines with `text` and `history`; - is stdin")],
    profile: Profile = None,
) -> None:
    """Plan each line of a file without answering it."""
    from agent.build import build_planner

    settings = load_settings(profile=profile)
    lines = _lines(file)
    planner = build_planner(settings)
    bad = 0
    for number, line in lines:
        try:
            text, history = _parse(line)
            result = _routed(planner.plan(text, history), planner.tasks)
        except PatchbayError as error:
            bad += 1
            aside(f"error: {file}, line {number}: {error}")
            result = {"line": number, "error": str(error)}
        print(json.dumps(result, ensure_ascii=False), flush=True)
    if bad:
        raise typer.Exit(1)


def _given(content: str | None, file: Path | None) -> str | None:
    """The text to work on that came apart from the request.

    Raises:
        InputError: there are two, or the file cannot be read.
    """
    if file is None:
        return content
    if content is not None:
        raise InputError("--content and --file both give the text to work on. Leave one out.")
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as UTF-8 text: {error}.") from error


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank."""
    try:
        stream = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    return ((n, line) for n, line in enumerate(stream, 1) if line.strip())


def _parse(line: bytes) -> tuple[str, list[Message]]:
    try:
        row = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"not JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError('a line must be an object with a string "text".')
    history = row.get("history") or []
    if not isinstance(history, list) or not all(map(_is_message, history)):
        raise InputError('"history" must be a list of {"role": ..., "content": ...}.')
    return clean(row["text"]), history


def _is_message(turn: Any) -> bool:
    roles = {"system", "user", "assistant"}
    return (
        isinstance(turn, dict)
        and turn.get("role") in roles
        and isinstance(turn.get("content"), str)
    )


def _routed(plan: Plan, tasks: Mapping[str, TaskSpec]) -> dict[str, Any]:
    steps = []
    for step in plan.steps:
        target = tasks[step.task].target_language(step.slots)
        steps.append({"task": step.task, **({"target_lang": target} if target else {})})
    return {
        "plan": steps,
        "confidence": round(plan.confidence, 4),
        "milliseconds": round(plan.milliseconds, 2),
    }


def _record(events: Iterable[Event]) -> dict[str, Any]:
    """The whole turn as one object.

    Raises:
        PatchbayError: the turn failed.
    """
    record = TurnRecord()
    for event in events:
        record.apply(event)
    if record.failed:
        raise PatchbayError(record.failed.message)
    fingerprints = [result.fingerprints for result in record.results]
    return {
        "plan": [_step_object(step) for step in record.started],
        **(_totals(record.finished) if record.finished else {}),
        "notices": [notice.message for notice in record.notices],
        "fingerprints": {**fingerprints[-1], "steps": fingerprints},
    }


def _totals(finished: Finished) -> dict[str, Any]:
    return {
        "text": finished.text,
        "labels": finished.labels,
        "tokens": finished.tokens,
        "seconds": finished.seconds,
    }


def _step_object(record: StepRecord) -> dict[str, Any]:
    step = record.step
    return {
        "task": step.task,
        "confidence": round(step.confidence, 4),
        "adapter": record.adapter,
        "slots": step.slots,
    }


def _draw(events: Iterable[Event]) -> None:
    """Answer on standard output, route and notes on standard error."""
    for event in events:
        match event:
            case Planned(plan=plan):
                aside("→ " + " → ".join(map(_step_line, plan.steps)))
            case StepStarted(index=index, step=step, adapter=adapter):
                own = adapter or "the base with the task's prompt, no adapter yet"
                aside(f"[{index + 1}] {step.task}, by {own}")
            case Notice(message=message):
                aside(message)
            case TextDelta(text=text):
                print(text, end="", flush=True)
            case StepFinished(labels=labels):
                for label, chance in labels.items():
                    print(f"{chance:7.1%}  {label}", end="\n" if label != list(labels)[-1] else "")
                print(flush=True)
            case Finished(tokens=tokens, seconds=seconds):
                aside(f"{tokens} tokens in {seconds:.1f} s")
            case Failed(message=message):
                raise PatchbayError(message)


def _step_line(step: Step) -> str:
    slots = "".join(f" {name}={value}" for name, value in step.slots.items())
    return f"{step.task}{slots} ({step.confidence:.0%})"


if __name__ == "__main__":
    run(app)
