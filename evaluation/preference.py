"""Which of two runs' written answers a model prefers, asked in both orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from core.errors import InputError
from engine.interface import ChooseRequest, Engine
from evaluation.compare import SIGNIFICANCE_LEVEL, same_rows
from evaluation.intervals import Interval, interval, mcnemar, mean
from evaluation.record import Outcome, Verdict
from tasks.spec import Message, TaskSpec

ASK = "Two answers to the same request are shown. Say which answer is better: A or B."
LABELS = ("A", "B")
Winner = Literal["first", "second", "neither"]


@dataclass(frozen=True)
class Preference:
    """What the judge said of two runs.

    Attributes:
        rows: that were judged.
        wins: rows on which both orders agree, by the run that won; `neither` is where the place
            decided, or both answers are the same.
        share: of the second run's wins, a row without a winner counting one half.
        p: exact two-sided binomial test on the rows with a winner.
        verdict: on the second run.
        judge: fingerprints of the model that judged.
        each: line and winner of every row.
    """

    rows: int
    wins: dict[Winner, int]
    share: Interval
    p: float
    verdict: Verdict
    judge: dict[str, str]
    each: list[tuple[int, Winner]]

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def judge(
    first: Path, second: Path, task: TaskSpec, engine: Engine, limit: int | None = None
) -> Preference:
    """Ask the engine's bare base about every row of two finished runs.

    The answers change places and are asked about again: a judge leans to one place, and only what
    it says both times counts. Zheng et al. 2023, arXiv 2306.05685.

    Args:
        first, second: folders of runs over the same rows.
        task: the one they ran; it writes.
        engine: the judge. A small base judges badly: read `neither`.
        limit: judge only so many of the rows, the first ones.

    Raises:
        InputError: the task chooses labels, or the runs did not judge the same rows.
    """
    if task.kind != "write":
        raise InputError(f"{task.name} chooses labels, which have a right answer: use compare.")
    rows = list(zip(*same_rows(first, second), strict=True))[:limit]
    winners: list[Winner] = [
        _winner(task, engine, one, other)
        for one, other in tqdm(rows, desc="prefer", unit="row", mininterval=1.0)
    ]
    won = [winner == "second" for winner in winners]
    lost = [winner == "first" for winner in winners]
    points = [(1.0 + a - b) / 2 for a, b in zip(won, lost, strict=True)]
    p, share = mcnemar(lost, won), interval(mean("share", points))
    shown: Verdict = "better" if share.value > 1 / 2 else "worse"
    counts: dict[Winner, int] = {"first": sum(lost), "second": sum(won)}
    return Preference(
        rows=len(rows),
        wins={**counts, "neither": len(rows) - sum(counts.values())},
        share=share,
        p=p,
        verdict=shown if p < SIGNIFICANCE_LEVEL else "no difference shown",
        judge=engine.fingerprints(),
        each=[(one.line, winner) for (one, _), winner in zip(rows, winners, strict=True)],
    )


def _winner(task: TaskSpec, engine: Engine, first: Outcome, second: Outcome) -> Winner:
    if first.answer.strip() == second.answer.strip():
        return "neither"
    request = "\n\n".join(
        turn["content"] for turn in task.messages(first.text, task.fills(first.slots))
    )
    ahead = _first_is_better(engine, request, first.answer, second.answer)
    behind = _first_is_better(engine, request, second.answer, first.answer)
    if ahead == behind:
        return "neither"
    return "first" if ahead else "second"


def _first_is_better(engine: Engine, request: str, a: str, b: str) -> bool:
    shown = f"Request:\n{request}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\nWhich answer is better?"
    messages: Sequence[Message] = (
        {"role": "system", "content": ASK},
        {"role": "user", "content": shown},
    )
    logprobs = engine.choose(ChooseRequest(tuple(messages), LABELS)).logprobs
    return logprobs["A"] > logprobs.get("B", -math.inf)


def as_text(preference: Preference) -> str:
    """A few lines for people."""
    share, wins = preference.share, preference.wins
    return (
        f"{preference.rows} rows: the second run won {wins['second']}, the first {wins['first']}, "
        f"neither {wins['neither']}\n"
        f"share of the second {share.value:.3f} ({share.low:.3f} to {share.high:.3f}), "
        f"p {preference.p:.2g}: {preference.verdict}"
    )
