"""The engine on ZeroGPU, where a GPU is lent for one request at a time, to a forked process.

The package `spaces` makes this process believe in a GPU while the base is loaded, puts the weights
aside, and for each request forks a worker that has a GPU and gets them back. Only what is asked and
what is made cross the border, as pickles: threads, locks and switches stay on their side. In the
worker an ordinary `TorchEngine` answers that one request. Elsewhere `spaces` does nothing, and the
same happens in one process.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TypeVar

import spaces
import torch
from gradio.exceptions import Error as GradioError

from core.errors import EngineBusy, InputError, PatchbayError, SettingsError
from core.settings import Settings
from engine.adapters import library_of
from engine.base_model import Base
from engine.engine import LocalEngine, TorchEngine, require_room
from engine.interface import (
    Choice,
    ChooseRequest,
    CompletionRequest,
    Delta,
    EngineReply,
    EngineRequest,
    ScoreRequest,
    Scores,
    Usage,
    WriteReply,
    WriteRequest,
)
from engine.load_base import load_base
from engine.starter_store import Progress
from engine.transformers_model import TransformersModel

# Seconds of a GPU that a request asks for: to start, for its prompt, for its answer. Shorter ones
# are served first. Guesses on the safe side: nobody has measured this base there.
STARTUP = 10.0
PREFILL_RATE = 2000.0  # tokens a second
DECODE_RATE = 20.0
MAX_LEASE = 120.0  # of one request; ZeroGPU refuses long ones
TRANSIENT = ("quota", "queue", "pending", "client")  # in the titles of errors that pass

T = TypeVar("T")


class ZeroEngine(LocalEngine):
    """The engine where each request gets a GPU of its own. See `engine.interface.ScoringEngine`."""

    def __init__(self, base: Base, settings: Settings) -> None:
        super().__init__(base, library_of(base))
        self.passes = 0
        self._max_requests = settings.max_running + settings.max_waiting
        self._time_limit = settings.time_limit
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._requests = self._answering = 0
        self._closing = threading.Event()
        # The duration is worked out from the same arguments as the answer.
        self._on_gpu = spaces.GPU(self._work, duration=_duration)

    @property
    def waiting(self) -> int:
        """Requests that wait for a GPU."""
        return self._requests - self._answering

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Yield text as it is made, then one Usage.

        A stop while the request waits for a GPU takes effect once it has one.
        """
        prompt = self._prompt(request)
        max_tokens = request.decoding.max_new_tokens
        self._constraint(request)  # here: what a worker makes ends with it
        require_room(self.context_tokens, len(prompt), max_tokens)
        started, pieces, first = time.perf_counter(), 0, 0.0
        with closing(self._run(request, _seconds(len(prompt), max_tokens))) as items:
            for item in items:
                assert isinstance(item, WriteReply)
                stopping = stop is not None and stop.is_set() and not isinstance(item, Usage)
                if stopping or self._closing.is_set():
                    seconds = time.perf_counter() - started
                    # About as many tokens as pieces of text; the worker's own count ends with it.
                    yield Usage(len(prompt), pieces, seconds, first or seconds, "stop")
                    return
                if isinstance(item, Delta):
                    pieces += 1
                    first = first or time.perf_counter() - started
                yield item

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels by likelihood."""
        if not request.labels:
            raise InputError("There are no labels to choose from. Name at least two.")
        prompt = self.count_tokens(request.messages)
        labels = [len(self.tokens(label)) + 1 for label in request.labels]
        require_room(self.context_tokens, prompt, max(labels))
        return self._single(request, _seconds(prompt + sum(labels)), Choice)

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score continuations of a prompt, token by token."""
        tokens = len(request.prompt) + sum(map(len, request.continuations))
        return self._single(request, _seconds(tokens), Scores)

    def close(self) -> None:
        """End every request at its next piece of text."""
        self._closing.set()

    def _single(self, request: EngineRequest, seconds: float, kind: type[T]) -> T:
        with closing(self._run(request, seconds)) as items:
            reply = next(items)
            assert isinstance(reply, kind)
            return reply

    def _run(self, request: EngineRequest, seconds: float) -> Generator[EngineReply]:
        """Have the request answered on a GPU that is lent for so long.

        Closing this ends the computation.
        """
        if request.adapter is not None:
            self.adapters.fingerprint(request.adapter)  # refused here, before a GPU is asked for
        with self._lock:
            if self._requests >= self._max_requests or self._closing.is_set():
                raise EngineBusy(f"{self._requests} requests are waiting. Try again in a minute.")
            self._requests += 1
        answering = False
        try:
            with closing(self._on_gpu(request, min(seconds, self._time_limit))) as items:
                for item in items:
                    if not answering:
                        with self._lock:
                            answering, self._answering = True, self._answering + 1
                    if isinstance(item, str):
                        raise PatchbayError(item)
                    self.passes += 1
                    yield item
        except GradioError as error:
            raise _explained(error) from error
        finally:
            with self._lock:
                self._requests -= 1
                self._answering -= answering

    def _work(self, request: EngineRequest, seconds: float) -> Iterator[EngineReply | str]:
        """In the worker: answer the request, start to end. An error goes back as its sentence."""
        if os.getpid() != self._process:
            torch.set_num_threads(1)  # a forked process has lost the threads of the CPU's kernels
            # What is loaded here is on the GPU, and for the requests that this worker gets.
            self.adapters, self._process = library_of(self._base), os.getpid()
        engine = TorchEngine(self._base, self.adapters, 1, 1, seconds)
        try:
            if isinstance(request, WriteRequest | CompletionRequest):
                yield from engine.write(request)
            elif isinstance(request, ChooseRequest):
                yield engine.choose(request)
            else:
                yield engine.score(request)
        except PatchbayError as error:
            yield str(error)
        finally:
            engine.close()


def load_zero(settings: Settings, progress: Progress = lambda line: None) -> ZeroEngine:
    """Load the base for workers to come, and tell ZeroGPU that it may put it aside.

    Raises:
        SetupError, SettingsError: see `load_base`.
    """
    base = load_base(settings.model_copy(update={"device": "cpu"}), progress)
    if not isinstance(base.model, TransformersModel):
        raise SettingsError("engine=zero runs the base on a GPU: leave quantization=int8 out.")
    base.model.to(settings.device)
    engine = ZeroEngine(base, settings)
    _report(settings.port)
    return engine


def _report(port: int) -> None:
    """What `Blocks.launch` would do of ZeroGPU's; another server serves the page here."""
    start = getattr(importlib.import_module("spaces.zero"), "startup", None)
    if start is None:  # not on ZeroGPU
        return
    from spaces.reloading import reload_server_ports

    reload_server_ports.add(port)  # a worker closes what it has inherited of these connections
    start()


def _seconds(prefilled: int, decoded: int = 0) -> float:
    """How long the engine may take, without the start."""
    return min(5 + prefilled / PREFILL_RATE + decoded / DECODE_RATE, MAX_LEASE - STARTUP)


def _duration(request: EngineRequest, seconds: float) -> int:
    return round(STARTUP + seconds)


def _explained(error: GradioError) -> PatchbayError:
    """ZeroGPU's own sentence, as an error of ours: one that passes, or one that does not."""
    message = str(error.message).strip()
    title = str(error.title)
    kind = EngineBusy if any(word in title for word in TRANSIENT) else PatchbayError
    return kind(f"{title}: {message}")
