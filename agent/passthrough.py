"""Messages or a text as they stand, for one adapter or the bare base: no task, no plan."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from agent.events import Event, Finished, Progress, StepStarted, TextDelta
from agent.options import TurnOptions
from agent.plan import Step
from agent.step_run import TurnContext, decoding_fingerprint, step_finished
from core.errors import InputError
from engine.interface import (
    CompletionRequest,
    Engine,
    PrefillProgress,
    ScoreRequest,
    ScoringEngine,
    Token,
    Usage,
    WriteReply,
    WriteRequest,
)
from tasks.spec import Decoding, Message

NO_TASK = Step("", 1.0)
PLAIN = Decoding(max_new_tokens=16, temperature=1.0)  # of a text, where OpenAI's API leaves it


def complete(
    engine: Engine,
    messages: Sequence[Message],
    *,
    adapter: str | None,
    default: Decoding,
    begun: str,
    turn: TurnContext,
) -> Iterator[Event]:
    """Yield the events of the one step, whose task is empty, and Finished.

    Args:
        default: the decoding, where the turn's options leave it.
        begun: the beginning of the answer, which does not come again.

    Raises:
        NotAllowed, UnknownName, AdapterError, TooLong, EngineBusy: before anything is computed.
    """
    options, decoding = turn.options, turn.options.decoding(default)
    fingerprints = _fingerprints(engine, adapter, decoding, options)
    yield StepStarted(0, NO_TASK, adapter)
    request = WriteRequest(
        tuple(messages),
        adapter,
        decoding,
        until=options.until,
        logprobs=options.logprobs,
        grammar=options.grammar,
        begun=begun,
        tools=options.tools,
    )
    yield from _written(engine.write(request, turn.stop), "", fingerprints)


def go_on(
    engine: Engine,
    prompt: str | Sequence[int],
    *,
    adapter: str | None,
    echo: bool,
    turn: TurnContext,
) -> Iterator[Event]:
    """Write after a text, or token ids, as they stand; else as `complete`.

    Args:
        echo: give the prompt before the answer, its tokens' log-likelihoods where they are wished.
            Those of the first token are nan: nothing stands before it.

    Raises:
        InputError: the engine takes messages alone, or an id is no token.
        NotAllowed, UnknownName, AdapterError, TooLong, EngineBusy: before anything is computed.
    """
    options, scoring = turn.options, _scoring(engine)
    writes = options.max_tokens != 0
    decoding = options.decoding(PLAIN)
    fingerprints = _fingerprints(engine, adapter, decoding, options)
    if isinstance(prompt, str):
        text, ids = prompt, tuple(scoring.tokens(prompt, begin=True) or [scoring.start_token])
    else:
        text, ids = scoring.text(prompt), tuple(prompt)
    yield StepStarted(0, NO_TASK, adapter)
    began = time.perf_counter()
    if echo:
        tokens = _prompt_tokens(scoring, ids, adapter, turn)
        begun = bool(tokens) and not text.startswith(tokens[0].text)  # the tokenizer's own, unseen
        yield TextDelta(0, text, tokens[begun:])
    if writes:
        request = CompletionRequest(
            ids,
            adapter,
            decoding,
            until=options.until,
            logprobs=options.logprobs,
            grammar=options.grammar,
        )
        items = scoring.write(request, turn.stop)
    else:
        seconds = time.perf_counter() - began
        items = iter(
            [
                Usage(
                    prompt_tokens=len(ids),
                    tokens=0,
                    seconds=seconds,
                    first_token=seconds,
                    stopped="length",
                )
            ]
        )
    yield from _written(items, text if echo else "", fingerprints)


def _written(
    items: Iterable[WriteReply], text: str, fingerprints: dict[str, str]
) -> Iterator[Event]:
    """The events of what an engine writes after a text that is out already."""
    for item in items:
        if isinstance(item, Usage):
            yield step_finished(text, index=0, usages=[item], fingerprints=fingerprints)
            yield Finished(
                text, labels={}, tokens=item.tokens, seconds=item.seconds, stopped=item.stopped
            )
        elif isinstance(item, PrefillProgress):
            yield Progress(0, "prompt", item.read, item.prompt_tokens)
        else:
            text += item.text
            yield TextDelta(0, item.text, item.tokens, item.calls)


def _prompt_tokens(
    engine: ScoringEngine, ids: tuple[int, ...], adapter: str | None, turn: TurnContext
) -> tuple[Token, ...]:
    """The prompt's tokens with their log-likelihoods; none where these are not wished."""
    wished = turn.options.logprobs
    if wished is None:
        return ()
    first = Token(engine.text(ids[:1]), math.nan)
    if len(ids) == 1:
        return (first,)
    request = ScoreRequest(ids[:1], (ids[1:],), adapter, wished)
    scored = engine.score(request, turn.stop).continuations
    return (first, *(scored[0].tokens if scored else ()))


def _scoring(engine: Engine) -> ScoringEngine:
    """The engine, which takes token ids.

    Raises:
        InputError: it does not.
    """
    if not hasattr(engine, "score"):
        raise InputError(
            "The base runs on a model server that takes messages alone. Ask for a chat completion, "
            "or ask that server."
        )
    return cast(ScoringEngine, engine)


def _fingerprints(
    engine: Engine, adapter: str | None, decoding: Decoding, options: TurnOptions
) -> dict[str, str]:
    """What makes the answer.

    Raises:
        NotAllowed, UnknownName, AdapterError: the adapter may not, or cannot.
    """
    options.require_allowed(adapter)
    fingerprints = engine.fingerprints() | {"decoding": decoding_fingerprint(decoding, options)}
    if adapter:
        fingerprints["adapter"] = engine.adapters.fingerprint(adapter)
    return fingerprints
