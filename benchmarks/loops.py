"""Answers that go round in circles, with the loop guard and without it.

    python -m benchmarks.loops ask chat.jsonl summaries.jsonl ... --to answers.jsonl --rows 500
    python -m benchmarks.loops show answers.jsonl --to results/loops.json

Rows are JSON lines of any of the tasks that write: `instruction` and `context`, or `document`, or
`source` with `source_lang` and `target_lang`; as many are drawn from each file, a sample that
stays the same. Each is answered once, without the guard, which is then given the same pieces: it
changes nothing of what is drawn, so that the answer with it is the beginning of the one without.
An answer loops where hardly anything of its end is new; it is ended wrongly where what it would
have gone on with is. `--bare` answers without temperature and penalties, where small models loop.
`ask` goes on where it was stopped.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import segments
from agent.agent import Agent
from agent.options import TurnOptions
from agent.plan import Step
from agent.step_run import StepRun, TurnContext
from agent.writing import write_core
from benchmarks.kept_answers import answer_all
from engine.interface import Delta, Usage
from engine.loop_guard import LoopGuard
from tasks import languages

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
BARE = {"temperature": 0.0, "repetition_penalty": 1.0, "dry_multiplier": 0.0}
UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")
TOGETHER = 32  # answers being made at one time
RUN = 4  # units, words or Chinese characters, of which a run is new or stood there before
END = 60  # units at an answer's end that are looked at
NEW = 0.25  # share of new runs, below which an end is a loop


@app.command()
def ask(
    files: Annotated[list[Path], typer.Argument(help="JSON lines")],
    to: Annotated[Path, typer.Option(help="a line for each answer")],
    rows: Annotated[int, typer.Option(help="how many answers")] = 500,
    bare: Annotated[bool, typer.Option(help="greedily and without penalties")] = False,
    profile: Annotated[str, typer.Option()] = "starter",
) -> None:
    """Answer rows without the guard, and note where it would have ended each."""
    drawn = list(_drawn(files))[:rows]
    answer_all(drawn, to, profile, partial(_answered, bare=bare), TOGETHER)


@app.command()
def show(
    answers: Annotated[Path, typer.Argument(help="what `ask` wrote")],
    to: Annotated[Path | None, typer.Option(help="where the figures go, as JSON")] = None,
) -> None:
    """How many loop, how many of them the guard ends, and which it ends wrongly."""
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    figures: dict[str, dict[str, Any]] = {}
    for line in lines:
        judged = _judged(line["text"], line["ended"])
        for name in ("all", f"{line['task']}, {line['language']}"):
            kept = figures.setdefault(name, {"answers": 0, "tokens": 0, "tokens_saved": 0})
            kept["answers"] += 1
            kept["tokens"] += line["tokens"]
            kept["tokens_saved"] += line["tokens_saved"]
            for what in ("loops", "ended", "ended_wrongly", "not_ended"):
                kept[what] = kept.get(what, 0) + judged[what]
        if judged["loops"] or judged["ended"]:
            about = ", ".join(what for what, holds in judged.items() if holds)
            at = line["ended"] or len(line["text"])
            print(f"{line['task']}, {about}: …{line['text'][max(0, at - 200) : at]!r}")
            print(f"    and then {line['text'][at:][:200]!r}")
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    if to:
        to.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _judged(text: str, ended: int | None) -> dict[str, bool]:
    """What is to be said of an answer that the guard ended behind so many characters, or not."""
    units = _units(text)
    loops = len(units) >= END and _new(units, len(units) - END) < NEW
    wrongly = ended is not None and _new(units, len(_units(text[:ended]))) >= NEW
    return {
        "loops": loops,
        "ended": ended is not None,
        "ended_wrongly": wrongly,
        "not_ended": loops and ended is None,
    }


def _units(text: str) -> list[str]:
    return UNIT.findall(text.lower())


def _new(units: list[str], begin: int) -> float:
    """Of the runs that end behind a place, the share that stands nowhere before."""
    runs = [tuple(units[at - RUN : at]) for at in range(RUN, len(units) + 1)]
    first: dict[tuple[str, ...], int] = {}
    for at, run in enumerate(runs):
        first.setdefault(run, at)
    behind = range(max(0, begin - RUN + 1), len(runs))
    return sum(first[runs[at]] == at for at in behind) / max(1, len(behind))


def _drawn(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Rows of the files in turn."""
    rng = random.Random(11)
    pools = []
    for file in files:
        pool = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        rng.shuffle(pool)
        pools.append(pool)
    for together in zip_longest(*pools):
        yield from (row for row in together if row is not None)


def _step(row: dict[str, Any]) -> tuple[Step, str]:
    """The task's step for a row, and its text."""
    if "document" in row:
        return Step("summarization", 1.0, {}), row["document"]
    if "source" in row:
        slots = {"source": row["source_lang"], "target": row["target_lang"]}
        sentences = segments.sentences(row["source"], row["source_lang"])
        return Step("translation", 1.0, slots), max((one.core for one in sentences), key=len)
    asked = "\n\n".join(filter(None, (row["instruction"], row.get("context"))))
    return Step("generation", 1.0, {}), asked


def _answered(agent: Agent, row: dict[str, Any], *, bare: bool) -> dict[str, Any]:
    step, content = _step(row)
    task = agent.tasks[step.task]
    if bare:
        task = task.model_copy(update={"decoding": task.decoding.model_copy(update=BARE)})
    options = TurnOptions(stop_loops=False, batch="loops")
    run = StepRun(agent.engine, task, 0, step, content, TurnContext(options=options))
    guard, text, tokens, ended, saved = LoopGuard(), "", 0, None, 0
    for item in write_core(run, content, left=task.decoding.max_new_tokens, again=False):
        if isinstance(item, Usage):
            tokens = item.tokens
        elif isinstance(item, Delta):
            text += item.text
            saved += ended is not None
            if ended is None and item.text and guard.loops(item.text):
                ended = len(text)
    return {
        "task": step.task,
        "language": step.slots.get("target") or languages.detect(content),
        "text": text,
        "tokens": tokens,
        "tokens_saved": saved,
        "ended": ended,
    }


if __name__ == "__main__":
    app()
