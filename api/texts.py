"""POST /v1/completions: a text goes on as it stands, or has its tokens' log-likelihoods told."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent.agent import Agent
from api.answer import Answer, AnswerDelta, usage_of
from api.background_turn import Turns
from api.completion import Completion, one_by_one
from api.errors import documented
from api.models import AUTO, adapter_of
from api.text_schemas import CompletionRequestBody, TextChoice, TextCompletion, TextLogprobs
from api.turn_options import turn_options
from core.access import Visitor
from core.errors import InputError
from core.settings import Settings
from engine.interface import Token

MAX_TEXTS = 128  # prompts times `n`
ERRORS = documented(400, 401, 403, 404, 413, 422, 429, 500, 503)
WITH_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The texts; with `stream` a `data:` line a piece, then `data: [DONE]`",
        "content": {"text/event-stream": {"itemSchema": {"type": "object", "required": ["data"]}}},
    }
}


def text_routes(router: APIRouter, agent: Agent, turns: Turns, settings: Settings) -> None:
    """Add the one operation."""

    @router.post("/v1/completions", response_model=TextCompletion, responses=WITH_STREAM | ERRORS)
    async def completions(request: Request, body: CompletionRequestBody) -> Response:
        """Go on from a text, as it stands."""
        visitor: Visitor = request.state.visitor
        if body.model == AUTO:
            raise InputError(
                f"{AUTO!r} routes messages, and a bare text has none. Name the base or an adapter, "
                "or ask /v1/chat/completions."
            )
        adapter = adapter_of(body.model, agent)
        request.state.log_fields["model"] = body.model
        # None given is OpenAI's own default, and 0 is none: both are more than the options say.
        options = replace(
            turn_options(body, visitor, settings, logprobs=body.logprobs),
            max_tokens=body.max_tokens,
        )
        count, echo = body.n or 1, bool(body.echo)
        drawn = [
            (prompt, (options.seed + i) % 2**64) for prompt in body.prompts for i in range(count)
        ]
        if len(drawn) > MAX_TEXTS:
            raise InputError(
                f"{len(body.prompts)} prompts with n={count} are {len(drawn)} texts; at most "
                f"{MAX_TEXTS} are written for one request. Send it in parts."
            )
        turn = turns.begin(
            lambda stop: one_by_one(
                agent.go_on(
                    prompt, adapter, echo=echo, stop=stop, options=replace(options, seed=seed)
                )
                for prompt, seed in drawn
            )
        )
        completion = _TextCompletion(
            body,
            turn,
            [Answer(seed) for _, seed in drawn],
            log_fields=request.state.log_fields,
            words=str(body.prompt) if settings.log_words else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )
        return await (completion.stream() if body.stream else completion.whole(request))


class _TextCompletion(Completion[TextChoice]):
    """In the shape of a completion of a text."""

    def __init__(self, body: CompletionRequestBody, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._logprobs = body.logprobs
        self._each = body.n or 1
        self._offsets = [0] * len(self._answers)
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model,
        }

    def _body(self, deltas: list[list[AnswerDelta]]) -> TextCompletion:
        first = self._answers[0]
        return TextCompletion(
            **self._head,
            choices=[self._choice(index, mine) for index, mine in enumerate(deltas)],
            usage=usage_of(self._answers, self._each),
            system_fingerprint=first.fingerprint,
            patchbay=first.patchbay,
        )

    def _choice(self, index: int, deltas: Sequence[AnswerDelta]) -> TextChoice:
        whole = self._piece(
            index,
            AnswerDelta(
                "".join(delta.text for delta in deltas),
                tuple(token for delta in deltas for token in delta.tokens),
            ),
        )
        return whole.model_copy(update={"finish_reason": self._answers[index].finish})

    def _chunk(self, choices: list[TextChoice], **more: Any) -> TextCompletion:
        return TextCompletion(**self._head, choices=choices, **more)

    def _beginning(self, index: int) -> None:
        return None

    def _piece(self, index: int, delta: AnswerDelta) -> TextChoice:
        logprobs = None
        if self._logprobs is not None:
            logprobs = _text_logprobs(delta.tokens, self._offsets[index], bool(self._logprobs))
            self._offsets[index] += sum(len(token.text) for token in delta.tokens)
        return TextChoice(index=index, text=delta.text, logprobs=logprobs)

    def _ending(self, index: int) -> TextChoice:
        return TextChoice(index=index, text="", finish_reason=self._answers[index].finish)


def _text_logprobs(tokens: Sequence[Token], offset: int, others: bool) -> TextLogprobs:
    """Tokens in OpenAI's shape.

    Args:
        offset: characters of the text before them.
        others: whether the likeliest in their places are wished, too.
    """
    return TextLogprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[None if math.isnan(token.logprob) else token.logprob for token in tokens],
        top_logprobs=[_likeliest(token) for token in tokens] if others else None,
        text_offset=list(_offsets(tokens, offset)),
    )


def _likeliest(token: Token) -> dict[str, float] | None:
    """The token and the likeliest; of two that are spelled alike, the likelier."""
    if math.isnan(token.logprob):
        return None
    return {token.text: token.logprob} | dict(reversed(token.likeliest))


def _offsets(tokens: Sequence[Token], offset: int) -> Iterator[int]:
    for token in tokens:
        yield offset
        offset += len(token.text)
