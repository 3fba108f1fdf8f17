"""Answers that take long, each kept as a line of a file: what was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agent.agent import Agent
from agent.build import build_agent
from core.settings import load_settings
from core.terminal import aside

T = TypeVar("T")


def answer_all(
    items: Sequence[T],
    to: Path,
    profile: str,
    answer: Callable[[Agent, T], dict[str, Any]],
    together: int = 1,
) -> None:
    """Answer the items that have no line yet, in their order.

    Args:
        items: the same ones, in the same order, whenever it is gone on with.
        to: JSON lines, one for each item.
        together: items that are being answered at one time.
    """
    done = len(to.read_text(encoding="utf-8").splitlines()) if to.exists() else 0
    agent = build_agent(load_settings(profile=profile), aside)
    with (
        closing(agent),
        to.open("a", encoding="utf-8") as out,
        ThreadPoolExecutor(together) as pool,
    ):
        for line in pool.map(partial(answer, agent), items[done:]):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            out.flush()
