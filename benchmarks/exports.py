"""How often an export says word for word what Patchbay serves, and how good each is, on real rows.

    pip install -c constraints.txt -e ".[finetune,evaluation]"
    npm install --ignore-scripts --prefix LLAMA node-llama-cpp
    python -m benchmarks.exports translation --task translation --data ROWS.jsonl --llama LLAMA \
        --to EXPORTS

Patchbay answers with the base in 8 bits, greedily; each export answers the same prompts, written
out, greedily too: `merged` in transformers (and in that of --python), `f16`, `q8_0` and `q4_0` in
llama.cpp, `gguf-lora` there on the base's own file. In a task that chooses, Patchbay takes the
likeliest label; an export's answer is what it writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from adapter_store.discovery import find_finished
from adapter_store.run_record import read_run_record
from core.settings import load_settings
from core.terminal import aside
from engine import starter_store
from engine.interface import Delta, Engine, WriteRequest
from engine.load import load_engine
from engine.starter import starter_named
from evaluation import figures, runner
from evaluation.rows import EvaluationData, EvaluationRow
from evaluation.run_plan import RunPlan
from finetune import card, export, gguf_file, gguf_lora, model
from tasks.spec import Decoding, TaskSpec, find_task, load_tasks

FORMS = ("merged", "gguf-lora", "f16", "q8_0", "q4_0")
CUT = 60  # characters of an answer that are shown
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Asked:
    """Rows with what is asked of every program, and what Patchbay serves."""

    task: TaskSpec
    rows: Sequence[EvaluationRow]
    prompts: list[str]
    tokens: list[list[int]]
    served: list[str]


def main(
    adapter: str,
    task: Annotated[str, typer.Option(help="whose prompt it is asked with")],
    data: Annotated[Path, typer.Option(help="a file of rows, as evaluation reads it")],
    llama: Annotated[Path, typer.Option(help="folder with node-llama-cpp")],
    to: Annotated[Path, typer.Option(help="where exports are written, and found another time")],
    limit: Annotated[int, typer.Option(min=1, help="rows, drawn by seed 0")] = 100,
    length: Annotated[int, typer.Option(help="tokens of an answer at most")] = 128,
    form: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(FORMS)}")] = None,
    reverse: Annotated[bool, typer.Option(help="the other direction of a translation")] = False,
    python: Annotated[list[str] | None, typer.Option(help="more pythons, for merged")] = None,
    profile: Annotated[str | None, typer.Option(help="the base that serves")] = None,
) -> None:
    """Print for each export: rows with the text that is served, that of the first; the figure."""
    trained = read_run_record(find_finished(adapter)).scope.slots
    selected = EvaluationData(data, {}, limit=limit, reverse=reverse, trained=trained)
    rows = selected.rows(find_task(load_tasks(), task))
    with closing(load_engine(load_settings(profile=profile))) as engine:
        plan = RunPlan(find_task(load_tasks(), task), selected, rows, adapter)
        asked = _asked(plan, engine, length)
    _show("served", asked, asked.served, asked.served)
    first: list[str] = []
    for name in form or FORMS:
        for program, command in _commands(adapter, name, to / name, llama, python or []):
            title, answers = _answers(f"{name}, {program}", command, asked, length)
            first = first or answers
            _show(title, asked, answers, first)


def _asked(plan: RunPlan, engine: Engine, length: int) -> Asked:
    """The rows' prompts, and what Patchbay says to each."""
    steps = [work for work, _ in plan.steps(engine)]
    turns = [work.messages(work.content) for work in steps]
    if plan.task.kind == "choose":
        shown = {name: label for label, name in steps[0].labels().items()}
        served = [shown[row.answer] for row in runner.log_likelihoods(plan, engine)]
    else:
        served = []
        for one in turns:
            pieces = engine.write(WriteRequest(one, plan.adapter, Decoding(max_new_tokens=length)))
            served.append("".join(p.text for p in pieces if isinstance(p, Delta)).strip())
    tokenizer = model.load_tokenizer(card.recipe_of(find_finished(str(plan.adapter))))
    prompts = [
        tokenizer.apply_chat_template(
            list(one), add_generation_prompt=True, enable_thinking=False, tokenize=False
        )
        for one in turns
    ]
    tokens = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    return Asked(plan.task, plan.rows, prompts, tokens, served)


def _commands(
    adapter: str, form: str, place: Path, llama: Path, more: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """What answers with an export, which is written where it is not there yet."""
    weights: gguf_file.Weights = form if form in gguf_file.FILE_TYPES else "f16"
    if not place.exists():
        kind = cast(export.Format, "gguf" if form in gguf_file.FILE_TYPES else form)
        export.export(adapter, kind, place, weights)
    if form == "merged":
        for python in (sys.executable, *more):
            yield "transformers", [python, str(HERE / "merged_answers.py"), str(place)]
        return
    files = [place / gguf_file.GGUF_FILE]
    if form == "gguf-lora":
        starter = starter_named(read_run_record(find_finished(adapter)).base)
        if starter is None:
            raise SystemExit("Only a starter has a GGUF file of its own here.")
        files = [starter_store.prepare(starter) / starter_store.GGUF, place / gguf_lora.LORA_FILE]
    script = str(HERE / "llama_answers.mjs")
    yield "llama.cpp", ["node", script, str(llama.absolute()), *map(str, files)]


def _answers(title: str, command: list[str], asked: Asked, length: int) -> tuple[str, list[str]]:
    """The title with the program's version, and what it says."""
    ran = subprocess.run(
        command,
        input=json.dumps({"prompts": asked.prompts, "length": length}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    said: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    other = sum(a != b for a, b in zip(asked.tokens, said["tokens"], strict=True))
    if other:
        aside(f"{title}: {other} prompts are other tokens than Patchbay's")
    return f"{title} {said['version']}", [answer.strip() for answer in said["answers"]]


def _show(title: str, asked: Asked, answers: list[str], first: list[str]) -> None:
    served, near = (sum(map(str.__eq__, answers, others)) for others in (asked.served, first))
    name, value = _figure(asked, answers)
    print(f"{title} | {served} | {near} of {len(answers)} | {name} {value:.3f}", flush=True)
    for ours, theirs in zip(asked.served, answers, strict=True):
        if ours != theirs:
            aside(f"  {ours[:CUT]!r} and {theirs[:CUT]!r}")


def _figure(asked: Asked, answers: Sequence[str]) -> tuple[str, float]:
    """The task's first figure; of a choice, how many wrote the right label."""
    if asked.task.kind == "choose":
        shown = {name: both.en for name, both in asked.task.labels.items()}
        right = [
            answer == shown.get(row.reference, row.reference)
            for row, answer in zip(asked.rows, answers, strict=True)
        ]
        return "accuracy", sum(right) / len(right)
    name = figures.metric_names(asked.task)[0]
    outcomes = [
        runner.outcome_of(row, answer=answer)
        for row, answer in zip(asked.rows, answers, strict=True)
    ]
    return name, figures.statistic(name, outcomes, asked.task).over_all()


if __name__ == "__main__":
    typer.run(main)
