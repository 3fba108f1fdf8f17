"""The agent in a terminal.

python -m agent ask "Translate into French: The train is late."
python -m agent ask "Summarize this" --file report.pdf
python -m agent ask "Translate into French" --file letter.docx --output lettre.docx
python -m agent route requests.jsonl
python -m agent batch reviews.csv --task sentiment --column text --output out.csv
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.batch.commands import batch, time_left
from agent.cleaning import clean
from agent.events import (
    Event,
    Finished,
    Measured,
    Notice,
    Planned,
    Progress,
    Source,
    Sources,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.file_output import require_writable, write_output
from agent.judged_figures import figure_words
from agent.plan import Plan, Step
from agent.step_run import Begun
from agent.turn_record import StepRecord, TurnRecord
from core.errors import InputError, PatchbayError
from core.settings import load_settings
from core.terminal import aside, run
from documents import Document, process
from tasks.spec import Message, TaskSpec, find_task, load_tasks

CUT_SHORT_WORDS = {  # and can be gone on with
    "length": "Length limit reached.",
    "loop": "Ended, because it repeated itself.",
    "time": "Time limit reached.",
}
PROGRESS = {
    "prompt": "{done:,} of {total:,} tokens of the prompt read",
    "part": "{done:,} of {total:,} parts",
    "adapter": "loading the adapter",
    "others": "other answers being made at the same time: {done}",
}
QUOTED = 160  # characters of a place
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command()(batch)
Profile = Annotated[str | None, typer.Option(help="auto, starter, gpu, or a YAML file")]


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="the request; - reads it from standard input")],
    task: Annotated[str | None, typer.Option(help="answer with this task, unrouted")] = None,
    content: Annotated[str | None, typer.Option(help="the text to work on")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="a file to work on, as often as there are; - is standard input"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="where a translated file goes, in the format that it came in"),
    ] = None,
    more: Annotated[int, typer.Option(help="go on so often where an answer is cut short")] = 0,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Route and answer one request."""
    from agent.build import build_agent

    settings = load_settings(profile=profile)
    documents = _read(file or [], content, text)
    if output:
        require_writable(documents, output)
    request = clean(sys.stdin.read() if text == "-" else text)
    chosen = find_task(load_tasks(), task).name if task else None
    agent = build_agent(settings, lambda line: None if as_json else aside(line + " …"))
    try:
        begun, record = None, TurnRecord()
        for left in range(more, -1, -1):
            ask = partial(
                agent.answer,
                request,
                task=chosen,
                content=content,
                documents=documents,
                explain=False,
            )
            record = _followed(ask(begun=begun), _silent if as_json else _Drawing(begun, left).draw)
            if not _cut_short(record):
                break
            results = [*(begun.texts[:-1] if begun else ()), *(one.text for one in record.results)]
            last = record.results[-1]
            begun = Begun.of(results, last.stopped, last.place, record.started[-1].blocks)
        if as_json:
            print(json.dumps(_record(record), ensure_ascii=False))
        elif _cut_short(record):
            why = CUT_SHORT_WORDS[record.finished.stopped if record.finished else ""]
            aside(f"{why} With --more 3 it is gone on with, up to three times.")
        if output:
            write_output(documents[0], _block_texts(record), output)
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


def _read(files: list[Path], content: str | None, text: str) -> list[Document]:
    """The files to work on, in their order; what there is to say of them is said.

    Raises:
        InputError: standard input, or the text to work on, is asked for twice, or a file is bad.
    """
    if files and content is not None:
        raise InputError("--content and --file both give the text to work on. Leave one out.")
    if [text, *map(str, files)].count("-") > 1:
        raise InputError("- stands for standard input, which can be read once. Name a file.")
    documents = []
    for file in files:
        if str(file) == "-":
            document = process.read("standard input", sys.stdin.buffer.read())
        else:
            document = process.read_file(file)
        for note in document.notes:
            aside(note)
        documents.append(document)
    return documents


def _block_texts(record: TurnRecord) -> tuple[str, ...]:
    """What the last step that was begun made of the files' blocks."""
    last = record.started[-1].blocks if record.started else None
    return last.texts if last else ()


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
        **_doubt(plan),
        "milliseconds": round(plan.milliseconds, 2),
    }


def _followed(events: Iterable[Event], draw: Callable[[Event], None]) -> TurnRecord:
    """What came of a turn, drawn as it came.

    Raises:
        PatchbayError: it failed.
    """
    record = TurnRecord()
    for event in events:
        record.apply(event)
        draw(event)
    if record.failed:
        raise PatchbayError(record.failed.message)
    return record


def _silent(event: Event) -> None:
    """Draw nothing."""


def _cut_short(record: TurnRecord) -> bool:
    return bool(record.finished and record.finished.stopped in CUT_SHORT_WORDS)


def _record(record: TurnRecord) -> dict[str, Any]:
    """The whole turn as one object."""
    fingerprints = [result.fingerprints for result in record.results]
    return {
        "plan": [_step_object(step) for step in record.started],
        **(_doubt(record.plan) if record.plan else {}),
        **(_totals(record.finished) if record.finished else {}),
        "notices": [notice.message for notice in record.notices],
        "fingerprints": {**fingerprints[-1], "steps": fingerprints},
    }


def _doubt(plan: Plan) -> dict[str, Any]:
    """Whether the planner was sure, and the plan it may have been instead."""
    other = plan.alternative
    named = other and {"plan": list(other.tasks), "confidence": round(other.confidence, 4)}
    return {"uncertain": plan.uncertain, "alternative": named}


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


class _Drawing:
    """Answer on standard output, route and notes on standard error.

    Args:
        begun: what is gone on with; it stands already.
        left: how often it will be gone on with, where it is cut short.
    """

    def __init__(self, begun: Begun | None, left: int) -> None:
        self._stands = bool(begun and begun.texts[-1])
        self._left = left
        self._text = ""
        self._doubts: list[str] = []  # said once the text has ended

    def draw(self, event: Event) -> None:
        """Take in what the agent says next."""
        match event:
            case Planned(plan=plan) if not self._stands:
                aside("→ " + " → ".join(map(_step_line, plan.steps)))
                if plan.uncertain and plan.alternative:
                    other = " → ".join(map(_step_line, plan.alternative.steps))
                    aside(f"not sure of that; perhaps you meant {other}")
            case StepStarted(index=index, step=step, adapter=adapter, measured=measured) if (
                not self._stands
            ):
                own = adapter or "the base with the task's prompt, no adapter"
                figure = f"; {_expected(measured[0])}" if measured else ""
                aside(f"[{index + 1}] {step.task}, by {own}{figure}")
            case Notice(message=message, after=True):
                self._doubts.append(message)
            case Notice(message=message):
                aside(message)
            case Progress(kind=kind, done=done, total=total, seconds_left=left):
                rest = "" if left is None else f" · {time_left(left)} left"
                aside(PROGRESS[kind].format(done=done, total=total) + rest)
            case TextDelta(text=text):
                if not self._stands:
                    print(text, end="", flush=True)
                self._stands = False
            case StepFinished():
                self._end(event)
            case Sources(read=read, parts=parts, sources=sources):
                aside(f"{read} of {parts} parts of the text went in.")
                for source in sources:
                    aside(_reference(source, self._text))
            case Finished(tokens=tokens, seconds=seconds):
                aside(f"{tokens} tokens in {seconds:.1f} s")

    def _end(self, step: StepFinished) -> None:
        self._text, last = step.text, list(step.labels)[-1:]
        for label, chance in step.labels.items():
            print(f"{chance:7.1%}  {label}", end="" if [label] == last else "\n")
        goes_on = self._left and step.stopped in CUT_SHORT_WORDS
        print(end="" if goes_on else "\n", flush=True)
        while self._doubts:
            aside(self._doubts.pop(0))


def _expected(one: Measured) -> str:
    return f"{figure_words(one.figure, one.value).en}, {one.texts.en}"


def _reference(source: Source, text: str) -> str:
    """Where a sentence of an answer, or a verdict on a part, comes from."""
    said = source.label and f"{source.label} {source.probability:.1%}"
    said = said or " ".join(text[source.begin : source.end].split())
    place = source.place
    if place is None:
        return f"  {said}\n    (no single place)"
    page = f"page {place.page}, " if place.page is not None else ""
    heading = f", {place.heading}" if place.heading else ""
    quoted = " ".join(place.words.split())
    return f"  {said}\n    {page}paragraph {place.paragraph}{heading}: {quoted[:QUOTED]}"


def _step_line(step: Step) -> str:
    slots = "".join(f" {name}={value}" for name, value in step.slots.items())
    return f"{step.task}{slots} ({step.confidence:.0%})"


if __name__ == "__main__":
    run(app)
