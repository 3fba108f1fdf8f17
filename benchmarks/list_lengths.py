"""Answers to requests for so many items: how many have as many, and with the list ended there.

    python -m benchmarks.list_lengths ask chat.jsonl ... --to answers.jsonl --rows 120
    python -m benchmarks.list_lengths show answers.jsonl --to results/list-lengths.json

Rows are JSON lines with `instruction`; of those that ask for a number of items as many are drawn
from each file, a sample that stays the same. Each is answered once, as if no number was read; what
ends a list is then given the same pieces. An answer's items are the lines that begin with a number
or a bullet, all of the first one's form. `ask` goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import regex
import typer

from agent.agent import Agent
from agent.options import TurnOptions
from agent.plan import Step
from agent.planning import list_lengths
from agent.step_run import StepRun, TurnContext
from agent.writing import write_core
from benchmarks.kept_answers import answer_all
from engine.interface import Delta
from engine.stop_strings import StopStrings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
TOGETHER = 16  # answers being made at one time
NO_LIST = ("\0",)  # stop strings of a client's, beside which nothing else ends a list
ITEM = regex.compile(r"^(?:\*\*)?(?:(?P<number>\d+[.)、．:：])|(?P<bullet>[-*•]\s))\s*\S", regex.M)


@app.command()
def ask(
    files: Annotated[list[Path], typer.Argument(help="JSON lines")],
    to: Annotated[Path, typer.Option(help="a line for each answer")],
    rows: Annotated[int, typer.Option(help="how many answers")] = 120,
    profile: Annotated[str, typer.Option()] = "starter",
) -> None:
    """Answer rows that ask for a number of items, and note where the list would have ended."""
    answer_all(list(_drawn(files))[:rows], to, profile, _answered, TOGETHER)


@app.command()
def show(
    answers: Annotated[Path, typer.Argument(help="what `ask` wrote")],
    to: Annotated[Path | None, typer.Option(help="where the figures go, as JSON")] = None,
) -> None:
    """Of the answers with a list, how many have as many items as were asked for."""
    figures: dict[str, dict[str, int]] = {}
    for line in map(json.loads, answers.read_text(encoding="utf-8").splitlines()):
        kept = figures.setdefault(line["file"], {})
        before, after = (_items(line[name]) for name in ("text", "ended"))
        counted = {
            "answers": 1,
            "with a list": before > 0,
            "as asked": before == line["length"],
            "as asked, ended there": after == line["length"],
            "characters": len(line["text"]),
            "characters, ended there": len(line["ended"]),
        }
        for name, value in counted.items():
            kept[name] = kept.get(name, 0) + value
        if line["text"].strip() != line["ended"].strip():
            print(f"{line['length']} wanted, {before} items, {after} kept: {line['request']!r}")
            print(f"    left out: {line['text'][len(line['ended']) :][:160]!r}")
    print(json.dumps(figures, indent=1))
    if to:
        to.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _items(text: str) -> int:
    """Lines that are items of a list, all of the first one's form."""
    found = [match.lastgroup for match in ITEM.finditer(text)]
    return found.count(found[0]) if found else 0


def _drawn(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Rows of the files in turn, each with its file and the number that it asks for."""
    rng = random.Random(11)
    pools = []
    for file in files:
        rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        pool = [
            {"file": f"{file.parent.name}/{file.stem}", "request": asked, "length": length}
            for asked in (row["instruction"] for row in rows if not row.get("context"))
            if (length := list_lengths.find(asked))
        ]
        rng.shuffle(pool)
        pools.append(pool)
    for together in zip_longest(*pools):
        yield from (row for row in together if row is not None)


def _answered(agent: Agent, row: dict[str, Any]) -> dict[str, Any]:
    task, step = agent.tasks["generation"], Step("generation", 1.0, {})
    options = TurnOptions(until=NO_LIST, batch="list lengths")
    run = StepRun(agent.engine, task, 0, step, row["request"], TurnContext(options=options))
    text, ended, stops = "", "", StopStrings((), row["length"])
    for item in write_core(run, row["request"], left=task.decoding.max_new_tokens):
        if isinstance(item, Delta):
            text += item.text
            ended += "" if stops.matched else stops.feed(item.text)
    return {**row, "text": text, "ended": ended if stops.matched else text}


if __name__ == "__main__":
    app()
