"""The engine's interface over replicas of it: a request goes to one that has its adapter."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
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
from core.thread_stream import Raised
from deploy.ray.replica import Refused, ReplicaInfo, ReplicaReply
from engine.adapters import AdapterLibrary
from engine.interface import (
    ROWS_TOGETHER,
    Choice,
    ChooseRequest,
    CompletionRequest,
    Delta,
    EngineRequest,
    ScoreRequest,
    Scores,
    Usage,
    WriteReply,
    WriteRequest,
)
from tasks.spec import Message

log = logging.getLogger(__name__)
ATTEMPTS = 4  # before the first token, never after
RETRY_PAUSE = 0.25  # seconds between two of them, in which Serve learns that a replica is gone
FIRST_REPLY_TIMEOUT = 60.0  # seconds
STOP_POLL = 0.05  # seconds after which a stop is seen
REPLICA_LOST = (RayActorError, WorkerCrashedError, ReplicaUnavailableError)
ReplyQueue = SimpleQueue[ReplicaReply | Raised | None]  # None is the end


class HandleEngine:
    """See `engine.interface.ScoringEngine`.

    `passes` counts what came from replicas, which count their own passes. The adapters are those of
    this machine's folders; a replica that has another version of one refuses it.

    Args:
        handle: of the deployment of replicas.
        info: of any of them.
    """

    rows_together = ROWS_TOGETHER

    def __init__(self, handle: DeploymentHandle[Any], info: ReplicaInfo) -> None:
        self.context_tokens, self.start_token = info.context_tokens, info.start_token
        self.tools_refused = info.tools_refused
        self.passes = 0
        base = info.fingerprints["base"]
        self.adapters = AdapterLibrary(paths.adapter_dirs(base), base, None)
        self._fingerprints = info.fingerprints
        self._handle = handle
        self._unanswered: set[object] = set()  # requests that have had no reply yet
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="handles", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Requests that have had no reply yet."""
        return len(self._unanswered)

    def write(
        self, request: WriteRequest | CompletionRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Yield text as it comes, then one Usage. Closing the iterator ends the computation."""
        began, count = time.perf_counter(), 0
        for reply in self._replies(request, stop):
            assert isinstance(reply, WriteReply)
            count += isinstance(reply, Delta)
            yield reply
            if isinstance(reply, Usage):
                return
        seconds = time.perf_counter() - began
        yield Usage(0, count, seconds, seconds, "stop")

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels."""
        began = time.perf_counter()
        for reply in self._replies(request, stop):
            assert isinstance(reply, Choice)
            return reply
        seconds = time.perf_counter() - began
        return Choice({}, Usage(0, 0, seconds, seconds, "stop"))

    def score(self, request: ScoreRequest, stop: threading.Event | None = None) -> Scores:
        """Score the continuations."""
        began = time.perf_counter()
        for reply in self._replies(request, stop):
            assert isinstance(reply, Scores)
            return reply
        seconds = time.perf_counter() - began
        return Scores((), Usage(0, 0, seconds, seconds, "stop"))

    def tokens(self, text: str, begin: bool = False) -> list[int]:
        """Text as token ids, by any replica."""
        ids: list[int] = self._call("tokens", text, begin)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as text, by any replica."""
        text: str | Refused = self._call("text", tuple(ids))
        if isinstance(text, Refused):
            raise text.as_error()
        return text

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Length of the messages as a prompt, by any replica."""
        count: int = self._call("count_tokens", messages)
        return count

    def fingerprints(self) -> dict[str, str]:
        """What answers: base, revision, quantization."""
        return dict(self._fingerprints)

    def close(self) -> None:
        """Let go of the replicas, which are Serve's."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _replies(
        self, request: EngineRequest, stop: threading.Event | None
    ) -> Iterator[ReplicaReply]:
        """A replica's replies; where one is lost before its first, those of another.

        Raises:
            EngineAway: it was lost later, or no other is left.
            PatchbayError: the replica refused the request.
        """
        name = request.adapter
        expected = self.adapters.fingerprint(name) if name else ""
        for left in reversed(range(ATTEMPTS)):
            replied = False
            try:
                for reply in self._attempt(request, expected, stop):
                    if isinstance(reply, Refused):
                        raise reply.as_error()
                    replied = True
                    self.passes += 1
                    yield reply
                return
            except REPLICA_LOST as error:
                if replied or not left:
                    raise _replica_lost(error) from error
                log.warning("A replica was lost before it said anything; another is asked")
                time.sleep(RETRY_PAUSE)

    def _attempt(
        self, request: EngineRequest, expected: str, stop: threading.Event | None
    ) -> Iterator[ReplicaReply]:
        """The replies of one replica, until the person stops it."""
        queue: ReplyQueue = SimpleQueue()
        call = asyncio.run_coroutine_threadsafe(self._pump(request, expected, queue), self._loop)
        deadline = time.monotonic() + FIRST_REPLY_TIMEOUT
        self._unanswered.add(queue)
        try:
            while not (stop and stop.is_set()):
                try:
                    item = queue.get(timeout=STOP_POLL)
                except Empty:
                    if queue in self._unanswered and time.monotonic() > deadline:
                        seconds = f"{FIRST_REPLY_TIMEOUT:.0f} s"
                        raise EngineAway(f"No replica answered in {seconds}.") from None
                    continue
                self._unanswered.discard(queue)
                if item is None:
                    return
                if isinstance(item, Raised):
                    raise _explained(item.error)
                yield item
        finally:
            self._unanswered.discard(queue)
            call.cancel()

    async def _pump(self, request: EngineRequest, expected: str, queue: ReplyQueue) -> None:
        """Put a replica's replies into the queue; cancelled, it cancels the replica's work."""
        handle = self._handle.options(
            method_name="run", stream=True, multiplexed_model_id=request.adapter or ""
        )
        response: Any = handle.remote(request, expected)
        try:
            async for reply in response:
                queue.put(reply)
        except Exception as error:  # noqa: BLE001  whatever it is belongs to the caller
            queue.put(Raised(error))
        else:
            queue.put(None)
        finally:
            response.cancel()

    def _call(self, method: str, *arguments: Any) -> Any:
        """What a method of any replica returns; where one is lost, of another.

        Raises:
            EngineAway: no other is left.
        """
        for left in reversed(range(ATTEMPTS)):
            call = asyncio.run_coroutine_threadsafe(self._remote(method, *arguments), self._loop)
            try:
                return call.result(FIRST_REPLY_TIMEOUT)
            except REPLICA_LOST as error:
                if not left:
                    raise _replica_lost(error) from error
                time.sleep(RETRY_PAUSE)
            except Exception as error:
                raise _explained(error) from error
        raise AssertionError("it has returned or raised")

    async def _remote(self, method: str, *arguments: Any) -> Any:
        return await getattr(self._handle, method).remote(*arguments)


def _explained(error: Exception) -> Exception:
    """What Serve says of a full queue, or of no replicas, as a sentence; others as they are."""
    match error:
        case BackPressureError():
            return EngineBusy(f"All replicas have enough to do ({error}). Try again in a minute.")
        case DeploymentUnavailableError() | TimeoutError():
            return EngineAway("No replica is there to answer. Try again in a minute.")
    return error


def _replica_lost(error: Exception) -> EngineAway:
    return EngineAway(
        f"The replica that ran this was lost ({type(error).__name__}). Send the request again."
    )
