"""Requests in, tokens out, each with its own adapter; stop means stop.

One worker thread gives every running request one forward pass in turn, so a newcomer waits for a
pass and not for an answer, and each request computes exactly what it would compute alone. Where the
base allows it, the requests are dealt out to the cores, and those of one core are read together.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import EngineBusy, InputError, PatchbayError, TooLong
from engine.adapters import AdapterLibrary
from engine.base_model import Base
from engine.interface import (
    Choice,
    ChooseRequest,
    CompletionRequest,
    Delta,
    ScoreRequest,
    Scores,
    Usage,
    WriteRequest,
)
from engine.jobs import ChooseJob, Job, ScoreJob, Steps, WriteJob
from engine.kv_cache import Next
from engine.prefix_cache import Kept
from tasks.spec import Message

Work = WriteJob | ChooseJob | ScoreJob


@dataclass(eq=False)
class Running:
    """A request on its way, equal only to itself: its generator, and the token it wants read."""

    job: Work
    steps: Steps
    wanted: Next | None = None


class OnBase:
    """What an engine says of the base in its own process."""

    def __init__(self, base: Base, adapters: AdapterLibrary) -> None:
        self.adapters = adapters
        self.context_tokens = base.context_tokens
        self.start_token = base.start_token
        self.passes = 0
        self._base = base

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """Text as token ids as it stands."""
        return self._base.plain_ids(text, begin)

    def _prompt(self, request: WriteRequest | CompletionRequest) -> list[int]:
        if isinstance(request, CompletionRequest):
            return list(request.prompt)
        return self._base.prompt_ids(request.messages)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Length of the messages as a prompt, in tokens."""
        return len(self._base.prompt_ids(messages))

    def fingerprints(self) -> dict[str, str]:
        """The base, its revision and quantization."""
        return dict(self._base.fingerprints)


class TorchEngine(OnBase):
    """The engine over a transformers base. See `engine.interface.ScoringEngine`.

    `passes` counts forward passes since the start, so that a test can see them stop.
    """

    def __init__(
        self,
        base: Base,
        adapters: AdapterLibrary,
        max_running: int = 8,
        max_waiting: int = 64,
        time_limit: float = 300.0,
    ) -> None:
        """`time_limit` is in seconds, for one request."""
        super().__init__(base, adapters)
        self._max_running, self._max_waiting = max_running, max_waiting
        self._time_limit = time_limit
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._kept = Kept(base)
        self._cores = torch.get_num_threads() if base.direct else 1
        self._crew = ThreadPoolExecutor(self._cores)
        self._worker = threading.Thread(target=self._work, name="engine", daemon=True)
        self._worker.start()
        atexit.register(self.close)  # torch aborts when its thread is torn down mid-pass

    @property
    def waiting(self) -> int:
        """Requests that wait for others to end."""
        return len(self._waiting)

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[Delta | Usage]:
        """Yield text as it is made, then one Usage."""
        prompt = self._prompt(request)
        require_room(self.context_tokens, len(prompt), request.decoding.max_new_tokens)
        weights = self.adapters.get(request.adapter) if request.adapter else None
        job = WriteJob(prompt, weights, stop or threading.Event(), self._deadline())
        job.decoding, job.until, job.logprobs = request.decoding, request.until, request.logprobs
        job.room = self.context_tokens - len(prompt)
        self._submit(job)
        try:
            while True:
                item = self._next(job)
                assert isinstance(item, Delta | Usage)
                yield item
                if isinstance(item, Usage):
                    return
        finally:
            job.closed.set()

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels by likelihood."""
        labels = {label: self._label(label) for label in request.labels}
        if not labels:
            raise InputError("There are no labels to choose from. Name at least two.")
        prompt = self._base.prompt_ids(request.messages)
        require_room(self.context_tokens, len(prompt), max(len(ids) for ids in labels.values()))
        weights = self.adapters.get(request.adapter) if request.adapter else None
        job = ChooseJob(prompt, weights, stop or threading.Event(), self._deadline())
        job.labels = labels
        self._submit(job)
        item = self._next(job)
        assert isinstance(item, Choice)
        return item

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score continuations of a prompt, token by token."""
        if not request.prompt or not request.continuations or not all(request.continuations):
            raise InputError("There is nothing to score: the prompt or a continuation is empty.")
        longest = max(len(ids) for ids in request.continuations)
        # The last token is scored and not read.
        require_room(self.context_tokens, len(request.prompt), longest - 1, whole=True)
        weights = self.adapters.get(request.adapter) if request.adapter else None
        job = ScoreJob(list(request.prompt), weights, stop or threading.Event(), self._deadline())
        job.continuations = [list(ids) for ids in request.continuations]
        self._submit(job)
        item = self._next(job)
        assert isinstance(item, Scores)
        return item

    def forget(self) -> None:
        """Drop what finished answers had read: the next turns are read from the start."""
        self._kept.clear()

    def close(self) -> None:
        """End every request and wait for the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._worker.join(timeout=30)
        self._crew.shutdown(wait=False)
        atexit.unregister(self.close)

    def _label(self, label: str) -> list[int]:
        return [*self._base.plain_ids(label), self._base.tokenizer.eos_token_id]

    def _deadline(self) -> float:
        return time.perf_counter() + self._time_limit

    def _submit(self, job: Work) -> None:
        with self._changed:
            if self._closing:
                raise EngineBusy("The engine is shutting down.")
            if len(self._waiting) >= self._max_waiting:
                raise EngineBusy(
                    f"{len(self._waiting)} requests are waiting already. Try again in a minute."
                )
            self._waiting.append(job)
            self._changed.notify()

    def _next(self, job: Job) -> Delta | Usage | Choice | Scores:
        item = job.out.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _work(self) -> None:
        """The worker: admit what waits, then one pass for each that runs, round and round."""
        running: list[Running] = []
        while True:
            with self._changed:
                while not (running or self._waiting or self._closing):
                    self._changed.wait()
                if self._closing:
                    left = [*(one.job for one in running), *self._waiting]
                    break
                while self._waiting and len(running) < self._max_running:
                    job = self._waiting.popleft()
                    running.append(Running(job, job.run(self._base, self._kept)))
            running = self._round(running)
        for job in left:
            job.out.put(EngineBusy("The engine is shutting down."))

    def _round(self, running: list[Running]) -> list[Running]:
        """One forward pass for each; those that are not done."""
        cores = min(self._cores, len(running))
        groups = [running[core::cores] for core in range(cores)]
        if self._base.direct:
            self._base.direct.cores = self._cores // cores
        done = self._crew.map(self._advance, groups) if cores > 1 else map(self._advance, groups)
        alive = [one for group in done for one in group]
        self.passes += len(alive)
        return [one for one in running if one in alive]

    def _advance(self, group: list[Running]) -> list[Running]:
        """One forward pass for each request of a group; those that are not done."""
        with torch.inference_mode():
            readers = [one for one in group if one.wanted]
            try:
                logits = self._base.step([one.wanted for one in readers if one.wanted])
            except Exception as error:  # noqa: BLE001  whatever it is belongs to the callers
                for one in readers:
                    one.job.out.put(_explained(error))
                return [one for one in group if one not in readers and _go_on(one, None)]
            found = dict(zip(map(id, readers), logits, strict=True))
            return [one for one in group if _go_on(one, found.get(id(one)))]


def require_room(context: int, prompt: int, answer: int, whole: bool = False) -> None:
    """See that a prompt fits beside an answer: the whole one, or its beginning. All in tokens.

    Raises:
        TooLong: it does not.
    """
    room = answer if whole else min(answer, 16)
    if prompt + room > context:
        raise TooLong(
            f"The request is {prompt:,} tokens long; this model reads {context - room:,}. "
            "Shorten it, or send it in parts."
        )


def _go_on(one: Running, logits: Tensor | None) -> bool:
    """To the next token that is wanted, or past a pass of its own; False when it is done."""
    try:
        one.wanted = one.steps.send(logits)
    except StopIteration:
        return False
    except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
        one.job.out.put(_explained(error))
        return False
    return True


def _explained(error: Exception) -> Exception:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return PatchbayError("There was not enough memory for this request. Send a shorter one.")
    return error
