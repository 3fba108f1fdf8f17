"""Summaries of long texts: in parts, against the first window alone.

    python -m benchmarks.long_texts ask validation.jsonl --to answers.jsonl --texts 30
    python -m benchmarks.long_texts show answers.jsonl

A long text is several rows of one file (`document`, `summary`) below each other, as many as make it
longer than the base reads, each under a heading; its reference is their summaries. Two sentences
with a name and a year that nothing else says are planted in the first, middle and last third.
`ask` goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.agent import Agent
from agent.build import build_agent
from agent.events import StepFinished
from agent.plan import Step
from agent.step_run import StepRun, TurnContext
from agent.steps import run_step
from core.settings import load_settings
from core.terminal import aside
from evaluation.text_metrics import rouge, unsupported

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
TOGETHER = 4  # texts asked about at one time
FACT = "{name} opened the {what} of the project in {year}."
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
    rows: Annotated[Path, typer.Argument(help="JSON lines with document and summary")],
    to: Annotated[Path, typer.Option(help="a line for each text")],
    texts: Annotated[int, typer.Option(help="how many long texts")] = 30,
    words: Annotated[int, typer.Option(help="of each text, at least")] = 3200,
    profile: Annotated[str, typer.Option()] = "starter",
) -> None:
    """Have every text summarized in parts, and its first window at once."""
    done = len(to.read_text(encoding="utf-8").splitlines()) if to.exists() else 0
    made = list(_compose(rows, texts, words))[done:]
    agent = build_agent(load_settings(profile=profile), aside)
    with (
        closing(agent),
        to.open("a", encoding="utf-8") as out,
        ThreadPoolExecutor(TOGETHER) as pool,
    ):
        for answered in pool.map(lambda text: _answered(agent, text), made):
            out.write(json.dumps(answered, ensure_ascii=False) + "\n")
            out.flush()


@app.command()
def show(answers: Annotated[Path, typer.Argument(help="what `ask` wrote")]) -> None:
    """ROUGE, unsupported names and numbers, and which planted facts came through."""
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    print(f"{len(lines)} texts, {sum(len(line['text'].split()) for line in lines):,} words")
    for way in ("parts", "window"):
        given = [line[way] for line in lines]
        scores = rouge(given, [line["reference"] for line in lines])
        scores.append(unsupported(given, [line["text"] for line in lines]))
        named = ", ".join(f"{score.name} {score.over_all():.3f}" for score in scores)
        print(f"{way}: {named}; {sum(len(text.split()) for text in given) / len(given):.0f} words")
        came: Counter[int] = Counter()
        planted: Counter[int] = Counter()
        for line, text in zip(lines, given, strict=True):
            for name, year, third in line["facts"]:
                planted[third] += 1
                came[third] += name in text or year in text
        print("  facts by third: " + ", ".join(f"{came[n]} of {planted[n]}" for n in range(3)))


def _compose(rows: Path, count: int, words: int) -> Iterator[LongText]:
    rng = random.Random(11)
    pool = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    for _ in range(count):
        made, documents = LongText("", ""), list[dict[str, Any]]()
        rng.shuffle(pool)
        while sum(len(row["document"].split()) for row in documents) < words:
            documents.append(pool[len(documents)])
        blocks = [
            block
            for number, row in enumerate(documents, 1)
            for block in [f"# Chapter {number}", *row["document"].split("\n\n")]
        ]
        names, years = rng.sample(NAMES, 6), rng.sample(range(1801, 1899), 6)
        for place in reversed(range(6)):
            third = place // 2
            at = int(len(blocks) * (place + 0.5) / 6)
            fact = FACT.format(name=names[place], what=WHAT[place], year=years[place])
            blocks.insert(max(1, at), fact)
            made.facts.append((names[place], str(years[place]), third))
        made.text = "\n\n".join(blocks)
        made.reference = " ".join(row["summary"] for row in documents)
        yield made


def _answered(agent: Agent, made: LongText) -> dict[str, Any]:
    task = agent.tasks["summarization"]
    room = agent.engine.context_tokens - 400
    window = made.text
    while agent.engine.count_tokens(({"role": "user", "content": window},)) > room:
        window = window[: int(len(window) * 0.97)]
    run = StepRun(
        engine=agent.engine,
        task=task,
        index=0,
        step=Step(task.name, 1.0, {"length": "paragraph"}),
        content=made.text,
        turn=TurnContext(explain=False),
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
