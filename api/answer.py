"""The events of a turn -> an answer's text, what it cost, and what made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from agent.events import (
    Event,
    Failed,
    Finished,
    Notice,
    Planned,
    StepFinished,
    StepStarted,
    TextDelta,
)
from agent.plan import Step
from api.errors import ApiError
from api.schemas import Logprobs, Made, MadeStep, TokenLogprob, TopLogprob, Usage
from core import fingerprint
from engine.interface import Token

BETWEEN = "\n\n"  # the texts of two steps


@dataclass(frozen=True)
class Piece:
    """More of an answer."""

    text: str
    tokens: tuple[Token, ...] = ()


class Answer:
    """An answer in the making: give it a turn's events in order."""

    def __init__(self, seed: int) -> None:
        self.made = Made(reason=None, seed=seed, steps=[])
        self.usage = Usage()
        self.finish: Literal["stop", "length"] = "stop"

    def take(self, event: Event) -> Iterator[Piece]:
        """Take in an event, and yield the text that it adds.

        Raises:
            ApiError: the turn failed.
        """
        match event:
            case Planned(plan=plan):
                self.made.reason = plan.reason
            case StepStarted(index=index, step=step, adapter=adapter):
                del self.made.steps[index:]  # another engine begins the step anew
                self.made.steps.append(_begun(step, adapter))
            case TextDelta(text=text, tokens=tokens):
                yield self._more(text, tokens)
            case StepFinished(labels=labels, text=text):
                if labels:
                    yield self._more(text)
                self._finish(event)
            case Notice(message=message):
                self.made.steps[-1].notices.append(message)
            case Finished(stopped=stopped):
                self.finish = "length" if stopped in {"length", "time"} else "stop"
            case Failed(kind=kind, message=message):
                raise ApiError.of(kind, message)

    @property
    def fingerprint(self) -> str:
        """One for all that made the answer."""
        return fingerprint.of_value([step.fingerprints for step in self.made.steps])

    @property
    def told(self) -> dict[str, Any]:
        """What the log may say of it: no words."""
        return {
            "tasks": [step.task for step in self.made.steps],
            "adapters": [step.adapter for step in self.made.steps],
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
        }

    def _more(self, text: str, tokens: tuple[Token, ...] = ()) -> Piece:
        step = self.made.steps[-1]
        first = bool(text) and not step.text and len(self.made.steps) > 1
        step.text += text
        return Piece(BETWEEN + text if first else text, tokens)

    def _finish(self, event: StepFinished) -> None:
        step = self.made.steps[-1]
        step.text, step.labels, step.stopped = event.text, event.labels, event.stopped
        step.tokens, step.seconds = event.tokens, event.seconds
        step.first_token, step.fingerprints = event.first_token, event.fingerprints
        written = 0 if event.labels else event.tokens
        self.usage.prompt_tokens += event.prompt_tokens
        self.usage.completion_tokens += written
        self.usage.total_tokens += event.prompt_tokens + written


def logprobs(tokens: list[Token]) -> Logprobs:
    """Tokens in OpenAI's shape."""
    return Logprobs(
        content=[
            TokenLogprob(
                **_top(token.text, token.logprob).model_dump(),
                top_logprobs=[_top(*pair) for pair in token.likeliest],
            )
            for token in tokens
        ]
    )


def _top(text: str, logprob: float) -> TopLogprob:
    whole = "\ufffd" not in text  # else it is a part of a character
    return TopLogprob(token=text, logprob=logprob, bytes=list(text.encode()) if whole else None)


def _begun(step: Step, adapter: str | None) -> MadeStep:
    return MadeStep(
        task=step.task or None,
        confidence=step.confidence,
        slots=step.slots,
        adapter=adapter,
        text="",
        labels={},
        stopped="",
        tokens=0,
        seconds=0.0,
        first_token=0.0,
        fingerprints={},
        notices=[],
    )
