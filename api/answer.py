"""The events of a turn -> an answer's text, what it cost, and what made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.events import Event, Failed, Source, StepFinished, TextDelta
from agent.plan import Plan
from agent.turn_record import StepRecord, TurnRecord
from api.errors import ApiError
from api.reply_schemas import (
    Alternative,
    AnsweredStep,
    AnswerSource,
    CompletionUsage,
    Logprobs,
    MeasuredFigure,
    Provenance,
    TokenLogprob,
    TopLogprob,
)
from core import fingerprint
from engine.interface import Token
from tasks.spec import ToolCall

STEP_SEPARATOR = "\n\n"  # between the texts of two steps


@dataclass(frozen=True)
class AnswerDelta:
    """More of an answer."""

    text: str
    tokens: tuple[Token, ...] = ()
    calls: tuple[ToolCall, ...] = ()


class Answer:
    """An answer in the making: give it a turn's events in order.

    Attributes:
        record: what has come of the turn.
        calls: of tools, so far.
    """

    def __init__(self, seed: int) -> None:
        self.record = TurnRecord()
        self.calls: tuple[ToolCall, ...] = ()
        self._seed = seed

    def take(self, event: Event) -> AnswerDelta | None:
        """Take in an event, and give the text that it adds, if any.

        Raises:
            ApiError: the turn failed.
        """
        delta = None
        match event:
            case Failed(kind=kind, message=message):
                raise ApiError.of(kind, message)
            case TextDelta(index=index, text=text, tokens=tokens, calls=calls):
                delta = AnswerDelta(self._separated(index, text), tokens, calls)
                self.calls += calls
            case StepFinished(index=index, text=text, labels=labels) if labels:
                delta = AnswerDelta(self._separated(index, text))
        self.record.apply(event)
        return delta

    @property
    def patchbay(self) -> Provenance:
        """What made it: the `patchbay` of the response."""
        plan = self.record.plan
        steps = [_answered_step(step) for step in self.record.started]
        return Provenance(
            reason=plan.reason if plan else None,
            uncertain=plan.uncertain if plan else False,
            alternatives=alternatives(plan) if plan else [],
            seed=self._seed,
            steps=steps,
        )

    @property
    def usage(self) -> CompletionUsage:
        """Tokens of all steps."""
        results = self.record.results
        prompt = sum(result.prompt_tokens for result in results)
        written = sum(result.tokens for result in results if not result.labels)
        return CompletionUsage(
            prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written
        )

    @property
    def finish(self) -> Literal["stop", "length"]:
        """Why it ended, in OpenAI's words."""
        finished = self.record.finished
        return "length" if finished and finished.stopped in {"length", "time", "loop"} else "stop"

    @property
    def fingerprint(self) -> str:
        """One for all that made the answer."""
        return fingerprint.of_value([step.fingerprints for step in self.patchbay.steps])

    @property
    def log_fields(self) -> dict[str, Any]:
        """What the log may say of it: no words."""
        steps, usage = self.patchbay.steps, self.usage
        return {
            "tasks": [step.task for step in steps],
            "adapters": [step.adapter for step in steps],
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }

    def _separated(self, index: int, text: str) -> str:
        """The text, behind a separator where it begins a later step."""
        begins = bool(text) and index > 0 and not self.record.steps[index].text
        return STEP_SEPARATOR + text if begins else text


def usage_of(answers: Sequence[Answer], each: int | None = None) -> CompletionUsage:
    """Tokens of several answers, `each` so many to one prompt, all by default: it is read once."""
    used = [answer.usage for answer in answers]
    prompt = sum(one.prompt_tokens for one in used[:: each or len(used)])
    written = sum(one.completion_tokens for one in used)
    return CompletionUsage(
        prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written
    )


def alternatives(plan: Plan) -> list[Alternative]:
    """The next likeliest plans, for programs."""
    return [
        Alternative(tasks=list(tasks), confidence=chance) for tasks, chance in plan.alternatives
    ]


def openai_logprobs(tokens: list[Token]) -> Logprobs:
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


def _answered_step(record: StepRecord) -> AnsweredStep:
    result = record.result
    return AnsweredStep(
        task=record.step.task or None,
        confidence=record.step.confidence,
        slots=record.step.slots,
        adapter=record.adapter,
        text=record.text,
        labels=result.labels if result else {},
        stopped=result.stopped if result else "",
        tokens=result.tokens if result else 0,
        seconds=result.seconds if result else 0.0,
        first_token=result.first_token if result else 0.0,
        fingerprints=result.fingerprints if result else {},
        notices=[notice.message for notice in record.notices],
        measured=[MeasuredFigure.of(one) for one in record.measured],
        probability=result.probability if result else None,
        parts_read=record.sources.read if record.sources else 0,
        parts=record.sources.parts if record.sources else 0,
        sources=[_source(one) for one in record.sources.sources] if record.sources else [],
    )


def _source(source: Source) -> AnswerSource:
    place = source.place
    return AnswerSource(
        begin=source.begin,
        end=source.end,
        label=source.label,
        probability=source.probability,
        place=[place.begin, place.end] if place else None,
        page=place.page if place else None,
        paragraph=place.paragraph if place else None,
        heading=place.heading if place else "",
        words=place.words if place else "",
    )
