"""Messages as they stand, answered by one adapter or the bare base: no task, no plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.events import Event, Finished, StepStarted, TextDelta
from agent.plan import Step
from agent.steps import TurnContext, decoding_fingerprint, step_finished
from engine.interface import Engine, Usage, WriteRequest
from tasks.spec import Decoding, Message

NO_TASK = Step("", 1.0)


def complete(
    engine: Engine,
    messages: Sequence[Message],
    *,
    adapter: str | None,
    default: Decoding,
    turn: TurnContext,
) -> Iterator[Event]:
    """Yield the events of the one step, whose task is empty, and Finished.

    Args:
        default: the decoding, where the turn's options leave it.

    Raises:
        NotAllowed, UnknownName, AdapterError, TooLong, EngineBusy: before anything is computed.
    """
    options, decoding = turn.options, turn.options.decoding(default)
    options.require_allowed(adapter)
    fingerprints = engine.fingerprints() | {"decoding": decoding_fingerprint(decoding, options)}
    if adapter:
        fingerprints["adapter"] = engine.adapters.fingerprint(adapter)
    yield StepStarted(0, NO_TASK, adapter)
    request = WriteRequest(
        tuple(messages),
        adapter,
        decoding,
        until=options.until,
        logprobs=options.logprobs,
        grammar=options.grammar,
    )
    text = ""
    for item in engine.write(request, turn.stop):
        if isinstance(item, Usage):
            yield step_finished(text, index=0, usages=[item], fingerprints=fingerprints)
            yield Finished(
                text, labels={}, tokens=item.tokens, seconds=item.seconds, stopped=item.stopped
            )
        else:
            text += item.text
            yield TextDelta(0, item.text, item.tokens)
