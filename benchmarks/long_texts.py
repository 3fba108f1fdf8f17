"""Summaries of long texts: in parts, against the first window alone.

    python -m benchmarks.long_texts ask a.jsonl b.jsonl --to answers.jsonl --texts 30
    python -m benchmarks.long_texts show answers.jsonl --to results/long-texts.json

A long text is several rows (`document`, `summary`) below each other, as many as make it longer than
the base reads, each under a heading; its reference is their summaries. In the first, middle and
last third stand two sections more, each about one fact with a name and a year that nothing
else says. A sentence alone within thousands of words would be none that a summary has to say.
The summaries are bullets, one for about each of the sections.
`ask` goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.agent import Agent
from agent.events import StepFinished
from agent.options import TurnOptions
from agent.plan import Step
from agent.step_run import StepRun, TurnContext
from agent.steps import run_step
from benchmarks.kept_answers import answer_all
from evaluation.text_metrics import rouge, unsupported
from tasks.spec import SlotValue

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
TOGETHER = 15  # texts asked about at one time
FACT = """{name} opened the {what} of the project in {year}. It took {name} three years of talks \
with the owners of the building before the {what} could be opened, and the people who worked for \
the project had asked for it all that time. Since {name} opened it in {year}, the {what} has been \
used by everybody who takes part, and no decision of that time has changed the work as much."""
NAMES = [
    "Quellmann",
    "Tarvish",
    "Obrecht",
    "Zentano",
    "Ibarrola",
    "Fenwick",
    "Duskova",
    "Marigot",
    "Pellworm",
    "Sandahl",
]
WHAT = [
    "first office",
    "training centre",
    "public archive",
    "test laboratory",
    "help desk",
    "library",
]


@dataclass
class LongText:
    """A text with what was planted in it: name, year and the third where it stands."""

    text: str
    reference: str
    facts: list[tuple[str, str, int]] = field(default_factory=list)


@app.command()
def ask(
    rows: Annotated[list[Path], typer.Argument(help="JSON lines with document and summary")],
    to: Annotated[Path, typer.Option(help="a line for each text")],
    texts: Annotated[int, typer.Option(help="how many long texts")] = 30,
    words: Annotated[int, typer.Option(help="of each text, at least")] = 3200,
    count: Annotated[int, typer.Option(help="bullets of each summary; 0 asks for none")] = 24,
    profile: Annotated[str, typer.Option()] = "starter",
) -> None:
    """Have every text summarized in parts, and its first window at once."""
    made = list(_compose(rows, texts, words))
    answer_all(made, to, profile, partial(_answered, count=count), TOGETHER)


@app.command()
def show(
    answers: Annotated[Path, typer.Argument(help="what `ask` wrote")],
    to: Annotated[Path | None, typer.Option(help="where the figures go, as JSON")] = None,
) -> None:
    """ROUGE, unsupported names and numbers, and which planted facts came through."""
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    words = sum(len(line["text"].split()) for line in lines)
    figures: dict[str, Any] = {"texts": len(lines), "words": words}
    figures |= {way: _figures(lines, way) for way in ("parts", "window")}
    print(json.dumps(figures, indent=1))
    if to:
        to.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _figures(lines: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """The figures of one way to summarize; planted facts that came through, by third."""
    given = [line[way] for line in lines]
    scores = rouge(given, [line["reference"] for line in lines])
    scores.append(unsupported(given, [line["text"] for line in lines]))
    came, planted = [0, 0, 0], [0, 0, 0]
    for line, text in zip(lines, given, strict=True):
        for name, year, third in line["facts"]:
            planted[third] += 1
            came[third] += name in text or year in text
    return {
        **{score.name: round(score.over_all(), 4) for score in scores},
        "words_of_summary": round(sum(len(text.split()) for text in given) / len(given), 1),
        "facts_by_third": came,
        "planted_by_third": planted,
    }


def _compose(files: list[Path], count: int, words: int) -> Iterator[LongText]:
    rng = random.Random(11)
    texts = [file.read_text(encoding="utf-8") for file in files]
    pool = [json.loads(line) for text in texts for line in text.splitlines()]
    for _ in range(count):
        made, documents = LongText("", ""), list[dict[str, Any]]()
        rng.shuffle(pool)
        while sum(len(row["document"].split()) for row in documents) < words:
            documents.append(pool[len(documents)])
        blocks = [
            (f"# Chapter {number}", block)
            for number, row in enumerate(documents, 1)
            for block in row["document"].split("\n\n")
        ]
        ends = list(accumulate(len(block.split()) for _, block in blocks))
        names, years = rng.sample(NAMES, 6), rng.sample(range(1801, 1899), 6)
        whats = rng.sample(WHAT, 6)
        for place in reversed(range(6)):
            fact = FACT.format(name=names[place], what=whats[place], year=years[place])
            at = max(1, bisect_left(ends, ends[-1] * (place + 0.5) / 6))
            blocks.insert(at, (f"# The {whats[place]}", fact))
            made.facts.append((names[place], str(years[place]), place // 2))
        made.text = "\n\n".join(
            "\n\n".join([heading, *(block for _, block in section)])
            for heading, section in groupby(blocks, itemgetter(0))
        )
        made.reference = " ".join(row["summary"] for row in documents)
        yield made


def _answered(agent: Agent, made: LongText, count: int) -> dict[str, Any]:
    task = agent.tasks["summarization"]
    room = agent.engine.context_tokens - 400
    window = made.text
    while agent.engine.count_tokens(({"role": "user", "content": window},)) > room:
        window = window[: int(len(window) * 0.97)]
    slots: dict[str, SlotValue] = {"length": "bullets"}
    slots |= {"count": str(count)} if count else {}
    run = StepRun(
        engine=agent.engine,
        task=task,
        index=0,
        step=Step(task.name, 1.0, slots),
        content=made.text,
        turn=TurnContext(explain=False, options=TurnOptions(batch="long texts")),
    )
    at_once = replace(run, task=task.model_copy(update={"parts": None}), content=window)
    return {
        "text": made.text,
        "reference": made.reference,
        "facts": made.facts,
        "parts": _text(run),
        "window": _text(at_once),
    }


def _text(run: StepRun) -> str:
    return next(event.text for event in run_step(run) if isinstance(event, StepFinished))


if __name__ == "__main__":
    app()
