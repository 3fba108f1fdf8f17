"""Thirty requests and what two bases with their adapters answer, as a page to read.

    python -m benchmarks.answers --to docs/answers.md

First answers, none chosen: each is asked once, with the decoding that its task has.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.build import build_agent
from agent.turn_record import TurnRecord
from core.settings import load_settings
from core.terminal import aside

REQUESTS = Path(__file__).with_suffix(".txt")
HEAD = """# Thirty answers

The first answer to each request, none chosen, by the starter (Gemma 3 270M) and by `smollm2`
(SmolLM2-135M-Instruct), each with its adapters, on two CPU cores.
`python -m benchmarks.answers --to docs/answers.md` makes this page.
"""


@dataclass(frozen=True)
class Answer:
    """What came of a request."""

    text: str
    adapters: list[str]
    seconds: float


def main(
    to: Annotated[Path, typer.Option(help="the page, Markdown")],
    profiles: Annotated[str, typer.Option(help="by comma")] = "starter,smollm2",
) -> None:
    """Ask everything of each profile."""
    requests = REQUESTS.read_text(encoding="utf-8").splitlines()
    answers = {name: asked(name, requests) for name in profiles.split(",")}
    to.write_text(page(requests, answers), encoding="utf-8")
    aside(str(to))


def asked(profile: str, requests: list[str]) -> list[Answer]:
    """The answers in the requests' order."""
    with closing(build_agent(load_settings(profile=profile), aside)) as agent:
        answers = []
        for request in requests:
            began, turn = time.perf_counter(), TurnRecord()
            for event in agent.answer(request, explain=False):
                turn.apply(event)
            seconds = time.perf_counter() - began
            adapters = [step.adapter or "base" for step in turn.steps]
            text = turn.steps[-1].text if turn.steps else ""
            answers.append(Answer(text, adapters, seconds))
        return answers


def page(requests: list[str], answers: dict[str, list[Answer]]) -> str:
    """Every request with the answers below each other."""
    parts = [HEAD]
    for index, request in enumerate(requests):
        parts.append(f"## {index + 1}\n\n{_quoted(request)}")
        for profile, given in answers.items():
            answer = given[index]
            by = ", ".join(answer.adapters)
            parts.append(f"`{profile}` ({by}, {answer.seconds:.1f} s)\n\n{_fenced(answer.text)}")
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _fenced(text: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}text\n{text}\n{fence}"


if __name__ == "__main__":
    typer.run(main)
