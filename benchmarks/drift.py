"""How soon drift in a stream of real requests is reported, and how often chance is called drift.

    python -m benchmarks.drift --stream sst2/validation.jsonl --task sentiment \
        --drifted online_shopping/validation.jsonl ag_news/validation.jsonl \
        --output results/drift.json

Each text is routed and answered once, by the app's own engine and planner, with an instruction
before it. Streams are drawn from these answers, with replacement: a reference of `drift.REFERENCE`
and `BEFORE` more of the first file, then the other file's, until the watch reports it. A share of
the requests can stay as they were. `false alarms` are streams of the first file alone.

Every number is one that the watch keeps, every test one that it makes (`workshop.drift`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from agent.agent import Agent
from agent.build import build_agent
from agent.turn_record import TurnRecord
from core.settings import load_settings
from tasks.data_files import read_file
from workshop import drift, watch
from workshop.recorder import usage_lines
from workshop.usage import FEATURES

BEFORE = 500  # requests after the reference, before the drift
WITHIN = 300  # requests that drift should be reported in
STREAMS = 200  # with drift, of each kind
QUIET_STREAMS, QUIET_REQUESTS = 10_000, 800
SHARES = (1.0, 0.5, 0.25)  # of the requests that drift
TESTS = len(FEATURES) * len(drift.WINDOWS)
Pool = Mapping[str, np.ndarray]  # feature -> a number for each answered text


def answered(agent: Agent, file: Path, task: str, instruction: str, limit: int) -> Pool:
    """The numbers of each text of a file, as the watch would keep them."""
    texts = [str(row["text"]) for _, row in read_file(file).found if isinstance(row, dict)]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(texts))[:limit]
    lines = []
    for i in chosen:
        record = TurnRecord()
        for event in agent.answer(f"{instruction}\n\n{texts[i]}", explain=False):
            record.apply(event)
        lines += [asdict(line) for line in usage_lines(record) if line.task == task]
    return {
        name: np.array([np.nan if one[name] is None else one[name] for one in lines], dtype=float)
        for name in FEATURES
    }


def reported(rng: np.random.Generator, usual: Pool, other: Pool, share: float) -> float:
    """Requests after the drift began until it is reported; inf where it is not within `WITHIN`."""
    numbers = _drawn(rng, usual, drift.REFERENCE + BEFORE)
    begun = drift.REFERENCE + BEFORE
    late = _mixed(rng, usual, other, share, WITHIN)
    stream = {name: np.concatenate([numbers[name], late[name]]) for name in FEATURES}
    number = BEFORE // watch.EVERY
    for seen in range(begun + watch.EVERY, begun + WITHIN + 1, watch.EVERY):
        number += 1
        if _look(stream, seen, number):
            return float(seen - begun)
    return np.inf


def false_alarms(usual: Pool) -> int:
    """Quiet streams with any alarm."""
    count = 0
    for seed in range(QUIET_STREAMS):
        stream = _drawn(np.random.default_rng(seed), usual, drift.REFERENCE + QUIET_REQUESTS)
        looks = range(drift.REFERENCE + watch.EVERY, len(stream["length"]) + 1, watch.EVERY)
        count += any(_look(stream, seen, number) for number, seen in enumerate(looks, 1))
    return count


def _look(stream: Pool, seen: int, number: int) -> list[str]:
    """Features that the watch reports at one look."""
    found = []
    for name in FEATURES:
        known = np.sort(stream[name][: drift.REFERENCE])
        latest = stream[name][drift.REFERENCE : seen][-drift.WINDOWS[-1] :]
        one = drift.look(name, known, latest, number, TESTS)
        if one and one.found:
            found.append(name)
    return found


def _drawn(rng: np.random.Generator, pool: Pool, count: int) -> dict[str, np.ndarray]:
    rows = rng.integers(0, len(pool["length"]), count)
    return {name: pool[name][rows] for name in FEATURES}


def _mixed(
    rng: np.random.Generator, usual: Pool, other: Pool, share: float, count: int
) -> dict[str, np.ndarray]:
    late, same = _drawn(rng, other, count), _drawn(rng, usual, count)
    drifts = rng.random(count) < share
    return {name: np.where(drifts, late[name], same[name]) for name in FEATURES}


def measure(usual: Pool, other: Pool) -> dict[str, Any]:
    """For each share: streams reported within `WITHIN`, and after how many requests."""
    found = {}
    for share in SHARES:
        rng = np.random.default_rng(1)
        after: Sequence[float] = [reported(rng, usual, other, share) for _ in range(STREAMS)]
        half, most = (float(np.quantile(after, q, method="lower")) for q in (0.5, 0.95))
        found[f"{share:.0%}"] = {
            "reported": float(np.mean(np.isfinite(after))),
            "half": half if np.isfinite(half) else None,
            "nineteen_of_twenty": most if np.isfinite(most) else None,
        }
    return found


def main() -> None:
    """Print one JSON object, and write it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stream", type=Path, required=True)
    options.add_argument("--drifted", type=Path, nargs="+", required=True)
    options.add_argument("--task", default="sentiment")
    options.add_argument("--instruction", default="Is this positive or negative?")
    options.add_argument("--limit", type=int, default=400, help="texts of each file")
    options.add_argument("--output", type=Path)
    asked = options.parse_args()
    with closing(build_agent(load_settings(), lambda line: None)) as agent:
        pools = {
            f"{file.parent.name}/{file.name}": answered(
                agent, file, asked.task, asked.instruction, asked.limit
            )
            for file in (asked.stream, *asked.drifted)
        }
    (name, usual), *others = pools.items()
    figures = {
        "stream": name,
        "texts": {name: len(pool["length"]) for name, pool in pools.items()},
        "reported within": WITHIN,
        "drift": {other: measure(usual, pool) for other, pool in others},
        "false alarms": {
            "streams": QUIET_STREAMS,
            "requests": QUIET_REQUESTS,
            "alarms": false_alarms(usual),
        },
    }
    print(json.dumps(figures, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
