"""Messages as they stand, answered by one adapter or the bare base: no task, no plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.events import Event, Finished, StepFinished, StepStarted, TextDelta
from agent.plan import Step
from agent.steps import Turn, fingerprint_of
from engine.interface import Engine, Usage, WriteRequest
from tasks.spec import Decoding, Message

NO_TASK = Step("", 1.0)


def run(
    engine: Engine, messages: Sequence[Message], adapter: str | None, own: Decoding, turn: Turn
) -> Iterator[Event]:
    """Yield the events of the one step, whose task is empty, and Finished.

    Args:
        own: the decoding, where the turn's wishes leave it.

    Raises:
        NotAllowed, UnknownName, AdapterError, TooLong, EngineBusy: before anything is computed.
    """
    wishes, decoding = turn.wishes, turn.wishes.decoding(own)
    wishes.check(adapter)
    made = engine.fingerprints() | {"decoding": fingerprint_of(decoding, wishes)}
    if adapter:
        made["adapter"] = engine.adapters.fingerprint(adapter)
    yield StepStarted(0, NO_TASK, adapter)
    request = WriteRequest(
        tuple(messages), adapter, decoding, until=wishes.until, logprobs=wishes.logprobs
    )
    text = ""
    for item in engine.write(request, turn.stop):
        if isinstance(item, Usage):
            yield StepFinished(
                0,
                text,
                {},
                item.tokens,
                item.seconds,
                item.first_token,
                item.stopped,
                made,
                item.prompt_tokens,
            )
            yield Finished(text, {}, item.tokens, item.seconds, item.stopped)
        else:
            text += item.text
            yield TextDelta(0, item.text, item.tokens)
