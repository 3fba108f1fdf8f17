"""What of real files' markup a translation keeps: at first, after the second try, found again.

    python -m benchmarks.markup ask *.md --to kept.jsonl --language fr --sentences 100
    python -m benchmarks.markup show kept.jsonl

Sentences with something that must stay as it is (code, link, tag, placeholder, number, emoji) are
drawn from the files, a sample that stays the same. Each is translated once, and where it lost
something as the chat does it, with a second try, and then with formatting found by its words.
`ask` goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agent import segments, verbatim
from agent.agent import Agent
from agent.formatting import found_again
from agent.plan import Step
from agent.step_run import StepRun, TurnContext
from agent.writing import write_core
from benchmarks.kept_answers import answer_all
from documents import read_file
from engine.interface import Delta

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
MOST = 256  # tokens of a sentence's translation


@app.command()
def ask(
    files: Annotated[list[Path], typer.Argument(help="Markdown, HTML, DOCX, in English")],
    to: Annotated[Path, typer.Option(help="a line for each sentence")],
    language: Annotated[str, typer.Option(help="ISO 639-1 code")] = "fr",
    sentences: Annotated[int, typer.Option(help="how many")] = 100,
    profile: Annotated[str, typer.Option()] = "starter",
) -> None:
    """Translate the sentences."""
    pool = sorted({core for file in files for core in _marked(file)})
    drawn = random.Random(11).sample(pool, min(sentences, len(pool)))
    answer_all(drawn, to, profile, partial(_three_ways, to=language))


@app.command()
def show(answers: Annotated[Path, typer.Argument(help="what `ask` wrote")]) -> None:
    """The share of each kind of markup that came through, and of whole sentences."""
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    wanted = sum((_kinds(verbatim.lost(line["source"], "")) for line in lines), Counter[str]())
    print(f"{len(lines)} sentences")
    for way in ("first", "second", "third"):
        lost = [verbatim.lost(line["source"], line[way]) for line in lines]
        missing = sum(map(_kinds, lost), Counter[str]())
        kinds = (f"{kind} {wanted[kind] - missing[kind]}/{wanted[kind]}" for kind in sorted(wanted))
        share = 1 - missing.total() / wanted.total()
        whole = sum(not one for one in lost)
        print(f"{way}: {share:.1%} of all ({', '.join(kinds)}); {whole} sentences lost nothing")


def _marked(file: Path) -> Iterator[str]:
    """The sentences of a file that have something to keep."""
    for block in read_file(file).blocks:
        if block.kind != "code":
            for segment in segments.sentences(block.given, "en"):
                if segment.core and verbatim.kept(segment.core):
                    yield segment.core


def _kinds(parts: list[str]) -> Counter[str]:
    """How many there are of each kind."""
    found = (next(verbatim.parts(f"]{part}"), None) for part in parts)
    return Counter(part.kind if part else "number" for part in found)


def _three_ways(agent: Agent, core: str, *, to: str) -> dict[str, str]:
    asked = partial(_translated, agent, to=to)
    first = asked(core, again=False)
    second = asked(core, again=True) if verbatim.lost(core, first) else first
    third = found_again(core, second, partial(asked, again=False))
    return {"source": core, "first": first, "second": second, "third": third}


def _translated(agent: Agent, core: str, *, to: str, again: bool) -> str:
    task = agent.tasks["translation"]
    run = StepRun(
        engine=agent.engine,
        task=task,
        index=0,
        step=Step(task.name, 1.0, {"source": "en", "target": to}),
        content=core,
        turn=TurnContext(explain=False),
    )
    items = write_core(run, core, left=MOST, again=again)
    return "".join(item.text for item in items if isinstance(item, Delta)).strip()


if __name__ == "__main__":
    app()
