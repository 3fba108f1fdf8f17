"""What prompt lookup gains: the same answers with guesses and without, each row's in turn.

    python -m benchmarks.prompt_lookup summarization --task summarization --data ROWS.jsonl
    python -m benchmarks.prompt_lookup generation --task generation --data ROWS.jsonl --limit 40

The prompts and the decoding are the chat's. Answers must be the same. The last line on standard
output is one JSON object: tokens a pass, times as quick with guesses (of all rows' time after the
first token), rows that were quicker, what each further token costs of a pass.
"""

from __future__ import annotations

import json
import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from adapter_store.discovery import find_finished
from adapter_store.run_record import read_run_record
from core.settings import load_settings
from core.terminal import aside
from engine.adapters import library_of
from engine.engine import TorchEngine
from engine.interface import Delta, Usage, WriteRequest
from engine.kv_cache import DecodeInput
from engine.load_base import load_base
from evaluation.rows import EvaluationData
from evaluation.run_plan import RunPlan
from tasks.spec import find_task, load_tasks

ROUNDS = 40  # of the cost


def main(
    adapter: str,
    task: Annotated[str, typer.Option(help="whose prompt it is asked with")],
    data: Annotated[Path, typer.Option(help="a file of rows, as evaluation reads it")],
    limit: Annotated[int, typer.Option(min=1, help="rows, drawn by seed 0")] = 30,
    profile: Annotated[str, typer.Option(help="the base")] = "starter",
) -> None:
    """Answer each row twice, and print what guesses gained."""
    folder = find_finished(adapter)
    trained = read_run_record(folder).scope.slots
    spec = find_task(load_tasks(), task)
    selected = EvaluationData(data, {}, limit=limit, trained=trained)
    plan = RunPlan(spec, selected, selected.rows(spec), adapter)
    base = load_base(load_settings(profile=profile))
    most, rows = base.model.max_guesses, list[dict[str, Any]]()
    with closing(TorchEngine(base, library_of(base, [folder.parent]))) as engine:
        for work, _ in plan.steps(engine):
            turns = work.messages(work.content)
            found = {}
            for guesses in (0, most) if len(rows) % 2 else (most, 0):
                base.model.max_guesses = guesses
                engine.forget()
                found[guesses] = _answer(engine, WriteRequest(turns, adapter, spec.decoding))
            (plain, before), (text, after) = found[0], found[most]
            assert plain == text, f"{plain!r} is not {text!r}"
            rows.append(
                {"tokens": after.tokens, "plain": _seconds(before), "guessed": _seconds(after)}
            )
            aside(json.dumps(rows[-1]))
    plain, guessed = (sum(row[way] for row in rows) for way in ("plain", "guessed"))
    print(
        json.dumps(
            {
                "data": "/".join(data.parts[-2:]),
                "rows": len(rows),
                "times": round(plain / guessed, 3),
                "quicker": sum(row["guessed"] < row["plain"] for row in rows),
                "most": round(max(row["plain"] / row["guessed"] for row in rows), 2),
                "least": round(min(row["plain"] / row["guessed"] for row in rows), 2),
                "row_cost": row_cost(base.model, most),
            }
        )
    )


def _answer(engine: TorchEngine, request: WriteRequest) -> tuple[str, Usage]:
    *pieces, last = engine.write(request)
    assert isinstance(last, Usage)
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta)), last


def _seconds(usage: Usage) -> float:
    return round(usage.seconds - usage.first_token, 4)


@torch.inference_mode()
def row_cost(model: Any, most: int) -> list[float]:
    """Of a pass with 1 to `most` guesses, what each costs of a pass without."""
    cache = model.new_cache()
    model.prefill(list(range(1000, 1200)), cache, None)
    times: dict[int, list[float]] = {count: [] for count in range(most + 1)}
    for _ in range(ROUNDS):
        for count, found in times.items():
            began = time.perf_counter()
            model.decode([DecodeInput(1000, cache, None, range(1000, 1000 + count))])
            found.append(time.perf_counter() - began)
            model.truncate(cache, 1 + count)
    plain = statistics.median(times[0])
    return [
        round((statistics.median(times[count]) / plain - 1) / count, 3)
        for count in range(1, most + 1)
    ]


if __name__ == "__main__":
    typer.run(main)
