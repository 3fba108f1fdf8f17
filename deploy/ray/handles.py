"""The engine's interface over replicas of it: a request goes to one that has its adapter."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any

from ray.exceptions import RayActorError, WorkerCrashedError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from core import paths
from core.errors import EngineAway, EngineBusy
from deploy.ray.replica import About, Refused, Request, again
from engine.adapters import AdapterLibrary
from engine.interface import (
    Choice,
    ChooseRequest,
    Delta,
    ScoreRequest,
    Scores,
    Usage,
    WriteRequest,
)
from tasks.spec import Message

log = logging.getLogger(__name__)
TRIES = 4  # before the first token, never after
PAUSE = 0.25  # seconds between two of them, in which Serve learns that a replica is gone
PATIENCE = 60.0  # seconds for a first token
TICK = 0.05  # seconds after which a stop is seen
LOST = (RayActorError, WorkerCrashedError, ReplicaUnavailableError)
END = object()


class HandleEngine:
    """See `engine.interface.Engine`.

    `passes` counts what came from replicas, which count their own passes. The adapters are those of
    this machine's folders; a replica that has another version of one refuses it.

    Args:
        handle: of the deployment of replicas.
        about: what any of them says.
    """

    def __init__(self, handle: DeploymentHandle[Any], about: About) -> None:
        self.context_tokens, self.start_token = about.context_tokens, about.start_token
        self.passes = 0
        self.adapters = AdapterLibrary(paths.adapter_dirs(), about.fingerprints["base"], None)
        self._fingerprints = about.fingerprints
        self._handle = handle
        self._silent: set[object] = set()  # requests that have had nothing yet
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="handles", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Requests that have had nothing yet."""
        return len(self._silent)

    def write(
        self, request: WriteRequest, stop: threading.Event | None = None
    ) -> Iterator[Delta | Usage]:
        """Yield text as it comes, then one Usage. Closing the iterator ends the computation."""
        began, count = time.perf_counter(), 0
        for item in self._ask(request, stop):
            count += isinstance(item, Delta)
            yield item
            if isinstance(item, Usage):
                return
        seconds = time.perf_counter() - began
        yield Usage(0, count, seconds, seconds, "stop")

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels."""
        began = time.perf_counter()
        for item in self._ask(request, stop):
            assert isinstance(item, Choice)
            return item
        seconds = time.perf_counter() - began
        return Choice({}, Usage(0, 0, seconds, seconds, "stop"))

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score the continuations."""
        began = time.perf_counter()
        for item in self._ask(request, stop):
            assert isinstance(item, Scores)
            return item
        seconds = time.perf_counter() - began
        return Scores((), Usage(0, 0, seconds, seconds, "stop"))

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """Text as token ids, by any replica."""
        found: list[int] = self._again("tokens", text, begin)
        return found

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Length of the messages as a prompt, by any replica."""
        count: int = self._again("count_tokens", messages)
        return count

    def fingerprints(self) -> dict[str, str]:
        """What answers: base, revision, quantization."""
        return dict(self._fingerprints)

    def close(self) -> None:
        """Let go of the replicas, which are Serve's."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _ask(self, request: Request, stop: threading.Event | None) -> Iterator[Any]:
        """What a replica gives; where one is lost before it said anything, what another gives.

        Raises:
            EngineAway: it was lost later, or no other is left.
        """
        name = request.adapter
        expected = self.adapters.fingerprint(name) if name else ""
        for left in reversed(range(TRIES)):
            said = False
            try:
                for item in self._listen(request, expected, stop):
                    if isinstance(item, Refused):
                        raise again(item)
                    said = True
                    self.passes += 1
                    yield item
                return
            except LOST as error:
                if said or not left:
                    raise _away(error) from error
                log.warning("A replica was lost before it said anything; another is asked")
                time.sleep(PAUSE)

    def _listen(
        self, request: Request, expected: str, stop: threading.Event | None
    ) -> Iterator[Any]:
        """What one replica gives, until the person stops it."""
        out: SimpleQueue[Any] = SimpleQueue()
        call = asyncio.run_coroutine_threadsafe(self._fetch(request, expected, out), self._loop)
        until = time.monotonic() + PATIENCE
        self._silent.add(out)
        try:
            while not (stop and stop.is_set()):
                try:
                    item = out.get(timeout=TICK)
                except Empty:
                    if out in self._silent and time.monotonic() > until:
                        raise EngineAway(f"No replica answered in {PATIENCE:.0f} s.") from None
                    continue
                self._silent.discard(out)
                if item is END:
                    return
                if isinstance(item, Exception):
                    raise _said(item)
                yield item
        finally:
            self._silent.discard(out)
            call.cancel()

    async def _fetch(self, request: Request, expected: str, out: SimpleQueue[Any]) -> None:
        """Put what a replica gives into the queue; cancelled, it cancels the replica's work."""
        handle = self._handle.options(
            method_name="run", stream=True, multiplexed_model_id=request.adapter or ""
        )
        response: Any = handle.remote(request, expected)
        try:
            async for item in response:
                out.put(item)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
            out.put(error)
        else:
            out.put(END)
        finally:
            response.cancel()

    async def _one(self, method: str, *given: Any) -> Any:
        return await getattr(self._handle, method).remote(*given)

    def _again(self, method: str, *given: Any) -> Any:
        """What any replica says; where one is lost, what another says. Raises as `_ask`."""
        for left in reversed(range(TRIES)):
            call = asyncio.run_coroutine_threadsafe(self._one(method, *given), self._loop)
            try:
                return call.result(PATIENCE)
            except LOST as error:
                if not left:
                    raise _away(error) from error
                time.sleep(PAUSE)
            except Exception as error:
                raise _said(error) from error
        raise AssertionError("it has returned or raised")


def _said(error: Exception) -> Exception:
    """What Serve says of a full queue, or of no replicas, as a sentence; others as they are."""
    match error:
        case BackPressureError():
            return EngineBusy(f"All replicas have enough to do ({error}). Try again in a minute.")
        case DeploymentUnavailableError() | TimeoutError():
            return EngineAway("No replica is there to answer. Try again in a minute.")
    return error


def _away(error: Exception) -> EngineAway:
    return EngineAway(
        f"The replica that ran this was lost ({type(error).__name__}). Send the request again."
    )
