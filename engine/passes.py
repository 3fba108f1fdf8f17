"""Forward passes for some requests, read together where that can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor

from core.errors import PatchbayError
from engine.base_model import BaseModel
from engine.kv_cache import DecodeInput, ScoreInput
from engine.scheduled_requests import ForwardPasses, ScheduledRequest, Wanted


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

    def advance(self, read: list[Tensor] | list[float] | None) -> None:
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


def read_tokens(
    model: BaseModel[Any], running: Sequence[Running]
) -> list[tuple[Running, list[Tensor]]]:
    """The next token of all that want one, in one pass; its logits are theirs to be advanced by.

    One request that runs alone has all its guesses read; of several each fewer, at last none.
    """
    reading = [one for one in running if isinstance(one.wanted, DecodeInput)]
    reading = [one for one in reading if not one.request.ended()]
    if not reading:
        return []
    most, inputs = model.max_guesses // len(reading), list[DecodeInput[Any]]()
    for one in reading:
        wanted = cast(DecodeInput[Any], one.wanted)
        inputs.append(replace(wanted, guesses=wanted.guesses[:most]))
    try:
        logits = iter(model.decode(inputs))
    except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers
        _fail(reading, error)
        return []
    return [
        (one, list(islice(logits, 1 + len(wanted.guesses))))
        for one, wanted in zip(reading, inputs, strict=True)
    ]


def one_pass(model: BaseModel[Any], group: Sequence[Running], limit: PassLimit) -> Iterator[None]:
    """A pass on one core for each request of a group that wants no token read, within the limit.

    It yields where it may be left off.
    """
    for one in group:
        if not one.begun:
            one.advance(None)
        if not one.done and one.request.ended():  # nothing more is read for it
            one.advance(None)
    going = [one for one in group if not one.done]
    scoring = _within(limit.tokens, [o for o in going if isinstance(o.wanted, ScoreInput)])
    own = [one for one in going if one.wanted is None][: limit.own]
    if scoring:
        yield from _scored(model, scoring)
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


def _scored(model: BaseModel[Any], scoring: Sequence[Running]) -> Iterator[None]:
    """Score what each of some requests wants, together, and send it what came of that."""
    try:
        found = yield from model.score([cast(ScoreInput[Any], one.wanted) for one in scoring])
    except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers
        _fail(scoring, error)
        return
    for one, own in zip(scoring, found, strict=True):
        one.advance(own)


def _fail(requests: Sequence[Running], error: Exception) -> None:
    for one in requests:
        one.fail(error)
