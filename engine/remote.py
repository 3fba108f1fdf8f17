"""An engine at another address: any server that speaks OpenAI's chat protocol, vLLM first.

The base and its adapters are model names there. An adapter of this machine that the server does not
know is loaded through vLLM's API, or refused with what would add it. Labels are scored by the
log-likelihoods of the tokens that the server names at each place, where it names them; else the one
that it answers with gets everything.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import httpx2  # what the client speaks through
import openai

from core import paths
from core.errors import AdapterError, EngineAway, EngineBusy, InputError, SettingsError, TooLong
from core.settings import Settings
from engine.adapters import AdapterLibrary
from engine.availability import Availability
from engine.interface import (
    ROWS_TOGETHER,
    Adapters,
    Choice,
    ChooseRequest,
    Delta,
    Grammar,
    StopReason,
    Token,
    Tools,
    Usage,
    WriteReply,
    WriteRequest,
)
from engine.label_scoring import AnswerTokens, label_log_likelihood, scores_of_answer
from engine.loop_guard import LoopGuard
from engine.sampling import DRY_BASE
from engine.served_adapters import ServedAdapters
from engine.stop_strings import StopStrings
from engine.tool_support import SWITCHED_OFF
from tasks.spec import Decoding, Message, ToolCall

TOP_LOGPROBS = 20  # tokens named at each place; the protocol allows no more
MAX_LABEL_TOKENS = 16
OPTIONAL_PARAMETERS = ("frequency_penalty", "presence_penalty", "top_k", "min_p")
UNKNOWN_CONTEXT = 2**20  # tokens that a model reads whose server does not say
BYTES_PER_TOKEN = 3  # of English and Chinese, roughly; the server counts exactly and may refuse
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 60.0  # seconds
FALLBACK_TIMEOUT = 2.0  # to connect, and to say anything at all, where there is a fallback
RETRIES = 2  # before the first token, never after


class RemoteEngine:
    """See `engine.interface.Engine`.

    `passes` counts pieces of text that came: the server counts its own passes.
    """

    rows_together = ROWS_TOGETHER

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            SettingsError: the server does not have the base, or there is no address.
            EngineAway: it does not answer, and there is no fallback.
        """
        if not settings.address:
            raise SettingsError("engine=openai needs address=, like http://127.0.0.1:8000/v1.")
        self.base, self._address = settings.base, settings.address.rstrip("/")
        self._time_limit = settings.time_limit
        key, has_fallback = settings.address_key, settings.stand_in != "none"
        connect = FALLBACK_TIMEOUT if has_fallback else CONNECT_TIMEOUT
        self._client = openai.OpenAI(
            base_url=self._address,
            api_key=key.get_secret_value() if key else "none",
            timeout=openai.Timeout(READ_TIMEOUT, connect=connect),
            max_retries=RETRIES,
        )
        self.context_tokens = self._max_context = settings.context_tokens
        self._gives_logprobs = self._is_patchbay = False
        self._served: set[str] = set()
        self._library = AdapterLibrary(paths.adapter_dirs(self.base), self.base, None)
        self._adapters = ServedAdapters(self._library, self._served)
        self._loading = threading.Lock()
        self.passes = 0
        self.tools_refused = SWITCHED_OFF if settings.tools == "off" else None
        self._availability = Availability(self._ping, self._refresh) if has_fallback else None
        try:
            self._refresh()
        except EngineAway:
            if not has_fallback:
                raise

    @property
    def adapters(self) -> Adapters:
        """What requests may carry."""
        return self._adapters

    @property
    def waiting(self) -> int:
        """The server has its own queue."""
        return 0

    def write(
        self, request: WriteRequest, stop: threading.Event | None = None
    ) -> Iterator[WriteReply]:
        """Yield text as it comes, then one Usage. Closing the iterator closes the connection."""
        began, first, count = time.perf_counter(), 0.0, 0
        calls = _CallPieces()
        self._require_available()
        stopped: StopReason | None = None
        used: Any = None
        # Not left to the server, which would not say that one of these ended the text.
        stops = StopStrings(request.until, request.list_length, request.begun)
        guard = LoopGuard()
        with self._calling(), self._stream(request) as stream:
            for chunk in stream:
                used = chunk.usage or used
                if stop is not None and stop.is_set():
                    stopped = "stop"
                    break
                if time.perf_counter() - began > self._time_limit:
                    stopped = "time"
                    break
                for choice in chunk.choices:
                    tokens, called = _tokens(choice), choice.delta.tool_calls or ()
                    calls.feed(called)
                    if choice.delta.content or tokens or called:
                        first = first or time.perf_counter() - began
                        count += 1
                        self.passes += 1
                        if (text := stops.feed(choice.delta.content or "")) or tokens:
                            yield Delta(text, tokens)
                    if choice.finish_reason:
                        stopped = "length" if choice.finish_reason == "length" else "end"
                    if request.stop_loops and guard.loops(choice.delta.content or ""):
                        stopped = "loop"
                if stops.matched:
                    stopped = "until"
                if stopped in {"until", "loop"}:
                    break
            if stopped is None:
                where = f"The model server at {self._address}"
                raise EngineAway(f"{where} was lost after {count} tokens.")
        if (rest := stops.flush()) or calls.whole:
            yield Delta(rest, calls=calls.whole)
        seconds = time.perf_counter() - began
        read = used.prompt_tokens if used else self.count_tokens(request.messages)
        written = used.completion_tokens if used else count
        yield Usage(read, written, seconds, first or seconds, stopped)

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels by what the server says of the tokens of its answer."""
        if not request.labels:
            raise InputError("There are no labels to choose from. Name at least two.")
        began = time.perf_counter()
        self._require_available()
        with self._calling():
            answer = self._client.chat.completions.create(
                **self._parameters(request.messages, request.adapter, Decoding()),
                max_tokens=MAX_LABEL_TOKENS,
                logprobs=True,
                top_logprobs=TOP_LOGPROBS,
            )
        choice = answer.choices[0]
        if tokens := _answer_tokens(choice):
            scores = {label: label_log_likelihood(label, tokens) for label in request.labels}
        else:
            scores = scores_of_answer(request.labels, choice.message.content or "")
        seconds = time.perf_counter() - began
        used = answer.usage
        read, written = (used.prompt_tokens, used.completion_tokens) if used else (0, len(tokens))
        return Choice(scores, Usage(read, written, seconds, seconds, "end"))

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """An estimate: the server has the tokenizer."""
        size = sum(len(message["content"].encode()) + 12 for message in messages)
        return math.ceil(size / BYTES_PER_TOKEN)

    def fingerprints(self) -> dict[str, str]:
        """The model's name, where it is served, and how labels are scored there."""
        labels = "scored" if self._gives_logprobs else "named, not scored"
        return {"base": self.base, "served": self._address, "labels": labels}

    def close(self) -> None:
        """Let go of the connections."""
        if self._availability:
            self._availability.close()
        self._client.close()

    def _refresh(self) -> None:
        """Learn what the server has. It may have been started anew, with other adapters.

        Raises:
            SettingsError: it does not have the base.
            EngineAway: it does not answer.
        """
        served = self._models()
        self._gives_logprobs = self._probe_logprobs(served)
        self.context_tokens = min(served.pop(self.base, UNKNOWN_CONTEXT), self._max_context)
        with self._loading:
            self._served.clear()
            self._served.update(served)

    def _ping(self) -> None:
        """See that it says anything, soon. Raises EngineAway."""
        with self._calling():
            try:
                self._client.with_options(timeout=FALLBACK_TIMEOUT, max_retries=1).models.list()
            except openai.InternalServerError:  # see `_models`
                return

    def _require_available(self) -> None:
        """Where there is a fallback: no request waits for a server that is away."""
        if self._availability:
            self._availability.require()

    def _models(self) -> dict[str, int]:
        """Model name -> the tokens it reads, as far as the server says."""
        with self._calling():
            try:
                models = list(self._client.models.list())
            except openai.InternalServerError:  # transformers serve, with nothing in its cache
                return {}
        self._is_patchbay = any(model.owned_by == "patchbay" for model in models)
        return {
            model.id: getattr(model, "max_model_len", None) or UNKNOWN_CONTEXT for model in models
        }

    def _probe_logprobs(self, served: Iterable[str]) -> bool:
        """Have one token written by the base: whether likely tokens are named beside it.

        Raises:
            SettingsError: the server does not have the base.
        """
        try:
            with self._calling():
                answer = self._client.chat.completions.create(
                    model=self.base,
                    messages=[{"role": "user", "content": "Hello"}],
                    max_tokens=1,
                    logprobs=True,
                    top_logprobs=TOP_LOGPROBS,
                )
        except InputError as error:
            raise SettingsError(
                f"{self._address} serves {', '.join(served) or 'no model'}, and not "
                f"base={self.base} ({error}). Name one of them, or serve it there."
            ) from error
        return bool(_answer_tokens(answer.choices[0]))

    def _stream(self, request: WriteRequest) -> Any:
        count = request.logprobs
        more: dict[str, Any] = {}
        if count is not None:
            more = {"logprobs": True, "top_logprobs": count}
        if tools := request.tools:
            more["tools"], more["tool_choice"] = list(tools.definitions), _tool_choice(tools)
            if tools.parallel is not None:
                more["parallel_tool_calls"] = tools.parallel
        if request.grammar:
            more["response_format"] = _response_format(request.grammar)
        parameters = self._parameters(request.messages, request.adapter, request.decoding)
        if request.begun:  # as vLLM, SGLang and another Patchbay have it
            parameters["messages"].append({"role": "assistant", "content": request.begun})
            own = {"continue_final_message": True, "add_generation_prompt": False}
            parameters["extra_body"] |= own
        return self._client.chat.completions.create(
            **parameters,
            **more,
            max_tokens=request.decoding.max_new_tokens,
            stream=True,
            stream_options={"include_usage": True},
        )

    def _parameters(
        self, messages: tuple[Message, ...], adapter: str | None, decoding: Decoding
    ) -> dict[str, Any]:
        if adapter:
            self._require_adapter(adapter)
        # What is off is not named: not every server knows these.
        named = {name: getattr(decoding, name) for name in OPTIONAL_PARAMETERS}
        extra: dict[str, Any] = {name: value for name, value in named.items() if value}
        if adapter and self._is_patchbay:  # an adapter there does its task, with its prompt, else
            extra["patchbay"] = {"raw": True}
        if decoding.repetition_penalty != 1:
            extra["repetition_penalty"] = decoding.repetition_penalty
        if decoding.dry_multiplier and not self._is_patchbay:
            extra["dry_multiplier"] = decoding.dry_multiplier  # llama.cpp knows these
            extra["dry_allowed_length"] = decoding.dry_allowed_length
            extra["dry_base"] = DRY_BASE
        return {
            "model": adapter or self.base,
            "messages": [_openai_message(message) for message in messages],
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": decoding.seed,
            "extra_body": extra,
        }

    def _require_adapter(self, adapter: str) -> None:
        """See that the server has the adapter, and load it there where it allows that.

        Raises:
            UnknownName: neither this machine nor the server has it.
            AdapterError: the server does not, and does not take it.
        """
        with self._loading:
            if adapter in self._served:
                return
            folder = self._library.folder(adapter)
            body = {"lora_name": adapter, "lora_path": str(folder)}
            try:
                self._client.post("/load_lora_adapter", cast_to=str, body=body)
            except (openai.APIStatusError, openai.APIResponseValidationError) as error:
                raise AdapterError(
                    f"{self._address} does not have the adapter {adapter} and did not load it "
                    f"({_first_line(error)}). With vLLM: `vllm serve {self.base} --enable-lora "
                    f"--lora-modules {adapter}={folder}`, or start it with "
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True where that folder can be read."
                ) from error
            self._served.add(adapter)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Turn what the client raises into a sentence."""
        try:
            with self._translated():
                yield
        except EngineAway as away:
            if self._availability:
                self._availability.mark_lost(away)
            raise
        if self._availability:
            self._availability.mark_heard()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise EngineAway(
                f"The model server at {self._address} does not answer ({_first_line(error)}). "
                "Start it, or name another with address=."
            ) from error
        except openai.APIStatusError as error:
            _raise_refusal(self._address, error)
        except openai.APIError as error:  # sent in the middle of an answer
            raise EngineAway(f"The model server failed: {_first_line(error)}") from error


class _CallPieces:
    """The pieces of a stream's calls, put together."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}  # by their place: id, name, arguments

    def feed(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            call = self._calls.setdefault(piece.index, ["", "", ""])
            function = piece.function
            call[0] = piece.id or call[0]
            call[1] += (function and function.name) or ""
            call[2] += (function and function.arguments) or ""

    @property
    def whole(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(*self._calls[place]) for place in sorted(self._calls))


def _openai_message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if calls := message.get("calls"):
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    if "call_id" in message:
        turn["tool_call_id"] = message["call_id"]
    return turn


def _tool_choice(tools: Tools) -> str | dict[str, Any]:
    if tools.only:
        return {"type": "function", "function": {"name": tools.only}}
    return "required" if tools.required else "auto"


def _response_format(grammar: Grammar) -> dict[str, Any]:
    """A grammar as the protocol has it.

    Raises:
        InputError: the protocol has no words for it.
    """
    if grammar.kind != "json_schema":
        raise InputError(f"The model server takes a JSON schema, and no {grammar.kind} grammar.")
    schema = {"name": "answer", "schema": json.loads(grammar.text), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _raise_refusal(address: str, error: openai.APIStatusError) -> NoReturn:
    reason = _first_line(error)
    if error.status_code in {401, 403}:
        raise SettingsError(
            f"The model server at {address} wants another key ({reason}). Set PATCHBAY_ADDRESS_KEY."
        ) from error
    if error.status_code == 429:
        raise EngineBusy(f"The model server has too much to do ({reason}).") from error
    if error.status_code == 400 and "context" in reason.lower():
        raise TooLong(f"The request is too long for the model server: {reason}") from error
    if error.status_code >= 500:
        raise EngineAway(f"The model server at {address} failed ({reason}).") from error
    raise InputError(f"The model server refused the request: {reason}") from error


def _answer_tokens(choice: Any) -> AnswerTokens:
    return [(one.text, {**dict(one.likeliest), one.text: one.logprob}) for one in _tokens(choice)]


def _tokens(choice: Any) -> tuple[Token, ...]:
    content = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
    return tuple(
        Token(
            token.token,
            token.logprob,
            tuple((one.token, one.logprob) for one in token.top_logprobs),
        )
        for token in content
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
