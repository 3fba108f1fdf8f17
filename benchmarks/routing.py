"""Compare routing with `semantic-router` on labelled requests: same encoder, same samples.

Each side sees the same requests. semantic-router picks one route for a request, so beside exact
plans (every task, in order) the first task alone is counted too; target languages are left out of
both, since it has none. It runs with its defaults, once without a threshold and once with its own
calibration fitted on the development requests and anything under one half sent to conversation.

    pip install -r requirements-bench.txt
    python -m benchmarks.routing
    python -m benchmarks.routing tests/data/routing_dev.jsonl

The last line on stdout is JSON: shares from 0 to 1, and milliseconds a request (median, 90 %).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from semantic_router import Route
from semantic_router.encoders import DenseEncoder
from semantic_router.routers import IndexedRouter

from agent.encoder import Encoder
from agent.planner import Planner
from agent.router import Router
from tasks.spec import TaskSpec, load_tasks

DATA = Path(__file__).parent.parent / "tests" / "data"
FALLBACK = "generation"
Request = dict[str, Any]
Decide = Callable[[Request], list[str]]


class SameEncoder(DenseEncoder):
    """Patchbay's encoder behind semantic-router's interface."""

    encoder: Any

    def __call__(self, docs: list[Any]) -> list[list[float]]:
        rows: list[list[float]] = self.encoder.encode([str(doc) for doc in docs]).tolist()
        return rows


def read(file: Path) -> list[Request]:
    """Labelled requests, one JSON object a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def measure(decide: Decide, requests: list[Request]) -> dict[str, float]:
    """Shares of exact plans and right first tasks, and the time each request took."""
    exact = first = 0
    took = []
    for request in requests:
        started = time.perf_counter()
        found = decide(request)
        took.append(1000 * (time.perf_counter() - started))
        wanted = [step["task"] for step in request["plan"]]
        exact += found == wanted
        first += found[:1] == wanted[:1]
    return {
        "exact": round(exact / len(requests), 4),
        "first_task": round(first / len(requests), 4),
        "ms_median": round(statistics.median(took), 2),
        "ms_p90": round(statistics.quantiles(took, n=10)[-1], 2),
    }


def patchbay(tasks: Mapping[str, TaskSpec], encoder: Encoder) -> Decide:
    """Patchbay's planner."""
    planner = Planner(tasks, Router(tasks, encoder))

    def decide(request: Request) -> list[str]:
        plan = planner.plan(request["text"], request.get("history", ()))
        return [step.task for step in plan.steps]

    return decide


def semantic(tasks: Mapping[str, TaskSpec], encoder: Encoder, fit: list[Request] | None) -> Decide:
    """semantic-router with its defaults; with `fit`, its calibration and a threshold of 0.5."""
    routes = [Route(name=name, utterances=task.requests.all()) for name, task in tasks.items()]
    router = IndexedRouter(encoder=SameEncoder(name="same", encoder=encoder), routes=routes)
    if fit is not None:
        router.fit([r["text"] for r in fit], [r["plan"][0]["task"] for r in fit])
        router.confidence_threshold = 0.5

    def decide(request: Request) -> list[str]:
        choice = router(request["text"])
        return [getattr(choice, "name", None) or FALLBACK]

    return decide


def main(file: Path) -> None:
    """Measure all three on one file and print a table, then JSON."""
    tasks, encoder, requests = load_tasks(), Encoder(), read(file)
    sides = {
        "patchbay": patchbay(tasks, encoder),
        "semantic-router": semantic(tasks, encoder, None),
        "semantic-router fitted": semantic(tasks, encoder, read(DATA / "routing_dev.jsonl")),
    }
    results = {}
    for name, decide in sides.items():
        decide(requests[0])  # warm
        results[name] = measure(decide, requests)
        print(f"{name:24} {results[name]}")
    print(json.dumps({"file": file.name, "requests": len(requests), "results": results}))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "routing_heldout.jsonl")
