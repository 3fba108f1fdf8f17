"""One forward pass for each of some requests on one core, read together where that can be."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from core.errors import PatchbayError
from engine.base_model import BaseModel
from engine.kv_cache import DecodeInput, ScoreInput
from engine.scheduled_requests import ForwardPasses, ScheduledRequest, Wanted

InputT = TypeVar("InputT", DecodeInput[Any], ScoreInput[Any])


@dataclass(eq=False)
class Running:
    """A request that runs, equal only to itself.

    Attributes:
        wanted: what it wants read; None is a pass of its own.
        begun: whether that is known.
        advanced: whether it had a pass in this round.
        done: whether it has ended.
    """

    request: ScheduledRequest
    passes: ForwardPasses
    wanted: Wanted = None
    begun: bool = False
    advanced: bool = False
    done: bool = False

    def advance(self, read: Tensor | list[float] | None) -> None:
        """To what it wants next, or past a pass of its own."""
        self.advanced = self.begun  # to begin is no pass
        self.begun = True
        try:
            self.wanted = self.passes.send(read)
        except StopIteration:
            self.done = True
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        self.done = True
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            error = PatchbayError(
                "There was not enough memory for this request. Send a shorter one."
            )
        self.request.out.put(error)


@dataclass(frozen=True)
class PassLimit:
    """How much is read in one pass.

    Attributes:
        tokens: of the texts that are scored, beyond the first one.
        own: requests that make a pass of their own.
    """

    tokens: float
    own: int | None


def one_pass(model: BaseModel[Any], group: Sequence[Running], limit: PassLimit) -> Iterator[None]:
    """A pass for each request of a group, within the limit; yields where it may be left off."""
    for one in group:
        if not one.begun:
            one.advance(None)
        if not one.done and one.request.ended():  # nothing more is read for it
            one.advance(None)
    going = [one for one in group if not one.done]
    decoding = [one for one in going if isinstance(one.wanted, DecodeInput)]
    scoring = _within(limit.tokens, [o for o in going if isinstance(o.wanted, ScoreInput)])
    own = [one for one in going if one.wanted is None][: limit.own]
    if decoding:
        yield from _answered(decoding, _decoded(model, _wanted(DecodeInput, decoding)))
    if scoring:
        yield from _answered(scoring, model.score(_wanted(ScoreInput, scoring)))
    for one in own:
        one.advance(None)
        yield


def _within(tokens: float, scoring: Sequence[Running]) -> list[Running]:
    """The first of them that have no more tokens to be read than that, and one in any case."""
    chosen: list[Running] = []
    for one in scoring:
        assert isinstance(one.wanted, ScoreInput)
        tokens -= one.wanted.tokens
        if tokens < 0 and chosen:
            break
        chosen.append(one)
    return chosen


def _wanted(kind: type[InputT], group: Sequence[Running]) -> list[InputT]:
    return [one.wanted for one in group if isinstance(one.wanted, kind)]


def _decoded(
    model: BaseModel[Any], inputs: Sequence[DecodeInput[Any]]
) -> Generator[None, None, Sequence[Tensor]]:
    logits = model.decode(inputs)
    yield
    return logits


def _answered(
    group: Sequence[Running], reading: Generator[None, None, Sequence[Tensor | list[float]]]
) -> Iterator[None]:
    """Read what each of a group wants, together, and send it what came of that."""
    try:
        found = yield from reading
    except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers
        for one in group:
            one.fail(error)
        return
    for one, own in zip(group, found, strict=True):
        one.advance(own)
