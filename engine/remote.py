"""An engine at another address: any server that speaks OpenAI's chat protocol, vLLM first.

The base and its adapters are model names there. An adapter of this machine that the server does not
know is loaded through vLLM's API, or refused with what would add it. Labels are scored by the
log-likelihoods of the tokens that the server names at each place, where it names them; else the one
that it answers with gets everything.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any, NoReturn

import httpx2  # what the client speaks through
import openai

from adapter_store.scope import Scope
from core import paths
from core.errors import AdapterError, EngineAway, EngineBusy, InputError, SettingsError, TooLong
from core.settings import Settings
from engine.adapters import AdapterLibrary
from engine.availability import Availability
from engine.interface import (
    Adapters,
    Choice,
    ChooseRequest,
    Delta,
    StopReason,
    Token,
    Usage,
    WriteRequest,
)
from engine.stop_strings import StopStrings
from tasks.spec import Decoding, Message

LIKELIEST = 20  # tokens named at each place; the protocol allows no more
LABEL_TOKENS = 16
UNSEEN = -2.0  # beside the least likely token that was named, for a label that none begins
BYTES_A_TOKEN = 3  # of English and Chinese, roughly; the server counts exactly and may refuse
CONNECT, READ = 5.0, 60.0  # seconds
SOON = 2.0  # to connect, and to say anything at all, where something stands in
RETRIES = 2  # before the first token, never after
Steps = Sequence[tuple[str, Mapping[str, float]]]


class ServedAdapters:
    """This machine's adapters of the base, and those that only the server has."""

    def __init__(self, library: AdapterLibrary, served: Set[str]) -> None:
        self._library = library
        self._served = served

    def names(self) -> list[str]:
        """Ids that a request may carry."""
        return sorted({*self._library.names(), *self._served})

    def fingerprint(self, name: str) -> str:
        """Hash of the adapter's files; of one that only the server has, that it is there."""
        return f"served as {name}" if self._elsewhere(name) else self._library.fingerprint(name)

    def scope(self, name: str) -> Scope:
        """What its record says; one that only the server has may do everything."""
        return Scope() if self._elsewhere(name) else self._library.scope(name)

    def temperature(self, name: str) -> float:
        """What its calibration says."""
        return 1.0 if self._elsewhere(name) else self._library.temperature(name)

    def _elsewhere(self, name: str) -> bool:
        return name in self._served and name not in self._library.names()


class RemoteEngine:
    """See `engine.interface.Engine`.

    `passes` counts pieces of text that came: the server counts its own passes.
    """

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            SettingsError: the server does not have the base, or there is no address.
            EngineAway: it does not answer, and nothing stands in for it.
        """
        if not settings.address:
            raise SettingsError("engine=openai needs address=, like http://127.0.0.1:8000/v1.")
        self.base, self._address = settings.base, settings.address.rstrip("/")
        self._time_limit = settings.time_limit
        key, stood_in = settings.address_key, settings.stand_in != "none"
        self._client = openai.OpenAI(
            base_url=self._address,
            api_key=key.get_secret_value() if key else "none",
            timeout=openai.Timeout(READ, connect=SOON if stood_in else CONNECT),
            max_retries=RETRIES,
        )
        self.context_tokens = self._most = settings.context_tokens
        self._scored = False
        self._served: set[str] = set()
        self._library = AdapterLibrary(paths.adapter_dirs(), self.base, None)
        self._adapters = ServedAdapters(self._library, self._served)
        self._loading = threading.Lock()
        self.passes = 0
        self._availability = Availability(self._ping, self._meet) if stood_in else None
        try:
            self._meet()
        except EngineAway:
            if not stood_in:
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
    ) -> Iterator[Delta | Usage]:
        """Yield text as it comes, then one Usage. Closing the iterator closes the connection."""
        began, first, count = time.perf_counter(), 0.0, 0
        self._require_there()
        stopped: StopReason | None = None
        known: Any = None
        # Not left to the server, which would not say that one of these ended the text.
        stops = StopStrings(request.until)
        with self._asked(), self._stream(request) as stream:
            for chunk in stream:
                known = chunk.usage or known
                if stop is not None and stop.is_set():
                    stopped = "stop"
                    break
                if time.perf_counter() - began > self._time_limit:
                    stopped = "time"
                    break
                for choice in chunk.choices:
                    tokens = _tokens(choice)
                    if choice.delta.content or tokens:
                        first = first or time.perf_counter() - began
                        count += 1
                        self.passes += 1
                        if (text := stops.feed(choice.delta.content or "")) or tokens:
                            yield Delta(text, tokens)
                    if choice.finish_reason:
                        stopped = "length" if choice.finish_reason == "length" else "end"
                if stops.matched:
                    stopped = "until"
                    break
            if stopped is None:
                where = f"The model server at {self._address}"
                raise EngineAway(f"{where} was lost after {count} tokens.")
        if rest := stops.flush():
            yield Delta(rest)
        seconds = time.perf_counter() - began
        read = known.prompt_tokens if known else self.count_tokens(request.messages)
        made = known.completion_tokens if known else count
        yield Usage(read, made, seconds, first or seconds, stopped)

    def choose(self, request: ChooseRequest, stop: threading.Event | None = None) -> Choice:
        """Score the labels by what the server says of the tokens of its answer."""
        if not request.labels:
            raise InputError("There are no labels to choose from. Name at least two.")
        began = time.perf_counter()
        self._require_there()
        with self._asked():
            answer = self._client.chat.completions.create(
                **self._common(request.messages, request.adapter, Decoding()),
                max_tokens=LABEL_TOKENS,
                logprobs=True,
                top_logprobs=LIKELIEST,
            )
        choice = answer.choices[0]
        if steps := _steps(choice):
            scores = {label: likelihood(label, steps) for label in request.labels}
        else:
            scores = _named(request.labels, choice.message.content or "")
        seconds = time.perf_counter() - began
        used = answer.usage
        read, made = (used.prompt_tokens, used.completion_tokens) if used else (0, len(steps))
        return Choice(scores, Usage(read, made, seconds, seconds, "end"))

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """An estimate: the server has the tokenizer."""
        size = sum(len(message["content"].encode()) + 12 for message in messages)
        return math.ceil(size / BYTES_A_TOKEN)

    def fingerprints(self) -> dict[str, str]:
        """The model's name, where it is served, and how labels are scored there."""
        labels = "scored" if self._scored else "named, not scored"
        return {"base": self.base, "served": self._address, "labels": labels}

    def close(self) -> None:
        """Let go of the connections."""
        if self._availability:
            self._availability.close()
        self._client.close()

    def _meet(self) -> None:
        """Learn what the server has. It may have been started anew, with other adapters.

        Raises:
            SettingsError: it does not have the base.
            EngineAway: it does not answer.
        """
        served = self._models()
        self._scored = self._probe(served)
        self.context_tokens = min(served.pop(self.base, 2**20), self._most)
        with self._loading:
            self._served.clear()
            self._served.update(served)

    def _ping(self) -> None:
        """See that it says anything, soon. Raises EngineAway."""
        with self._asked():
            try:
                self._client.with_options(timeout=SOON, max_retries=1).models.list()
            except openai.InternalServerError:  # see `_models`
                return

    def _require_there(self) -> None:
        """Where something stands in: no request waits for a server that is away."""
        if self._availability:
            self._availability.require()

    def _models(self) -> dict[str, int]:
        """Model name -> the tokens it reads, as far as the server says."""
        with self._asked():
            try:
                models = list(self._client.models.list())
            except openai.InternalServerError:  # transformers serve, with nothing in its cache
                return {}
        return {model.id: getattr(model, "max_model_len", None) or 2**20 for model in models}

    def _probe(self, served: Iterable[str]) -> bool:
        """Have one token written by the base: whether likely tokens are named beside it.

        Raises:
            SettingsError: the server does not have the base.
        """
        try:
            with self._asked():
                answer = self._client.chat.completions.create(
                    model=self.base,
                    messages=[{"role": "user", "content": "Hello"}],
                    max_tokens=1,
                    logprobs=True,
                    top_logprobs=LIKELIEST,
                )
        except InputError as error:
            raise SettingsError(
                f"{self._address} serves {', '.join(served) or 'no model'}, and not "
                f"base={self.base} ({error}). Name one of them, or serve it there."
            ) from error
        return bool(_steps(answer.choices[0]))

    def _stream(self, request: WriteRequest) -> Any:
        count = request.logprobs
        scored: dict[str, Any] = {} if count is None else {"logprobs": True, "top_logprobs": count}
        return self._client.chat.completions.create(
            **self._common(request.messages, request.adapter, request.decoding),
            **scored,
            max_tokens=request.decoding.max_new_tokens,
            stream=True,
            stream_options={"include_usage": True},
        )

    def _common(
        self, messages: tuple[Message, ...], adapter: str | None, decoding: Decoding
    ) -> dict[str, Any]:
        if adapter:
            self._require(adapter)
        extra = {}
        if decoding.repetition_penalty != 1:
            extra["repetition_penalty"] = decoding.repetition_penalty  # vLLM knows it
        return {
            "model": adapter or self.base,
            "messages": list(messages),
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": decoding.seed,
            "extra_body": extra,
        }

    def _require(self, adapter: str) -> None:
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
    def _asked(self) -> Iterator[None]:
        """Turn what the client raises into a sentence."""
        try:
            with self._said():
                yield
        except EngineAway as away:
            if self._availability:
                self._availability.mark_lost(away)
            raise
        if self._availability:
            self._availability.mark_heard()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise EngineAway(
                f"The model server at {self._address} does not answer ({_first_line(error)}). "
                "Start it, or name another with address=."
            ) from error
        except openai.APIStatusError as error:
            self._refused(error)
        except openai.APIError as error:  # sent in the middle of an answer
            raise EngineAway(f"The model server failed: {_first_line(error)}") from error

    def _refused(self, error: openai.APIStatusError) -> NoReturn:
        said = _first_line(error)
        if error.status_code in {401, 403}:
            raise SettingsError(
                f"The model server at {self._address} wants another key ({said}). "
                "Set PATCHBAY_ADDRESS_KEY."
            ) from error
        if error.status_code == 429:
            raise EngineBusy(f"The model server has too much to do ({said}).") from error
        if error.status_code == 400 and "context" in said.lower():
            raise TooLong(f"The request is too long for the model server: {said}") from error
        if error.status_code >= 500:
            raise EngineAway(f"The model server at {self._address} failed ({said}).") from error
        raise InputError(f"The model server refused the request: {said}") from error


def likelihood(label: str, steps: Steps) -> float:
    """Natural log-likelihood of a label, as far as the likeliest tokens of each place tell.

    The label is followed while the answer goes its way. Where they part, the named tokens that go
    on with the label count together, and what follows them is taken as certain: at that place the
    label is usually told from all others.

    Args:
        label: the text.
        steps: of each token of the answer, its text and the likeliest tokens in its place.
    """
    rest, total = label, 0.0
    for i, (chosen, named) in enumerate(steps):
        here = {token.lstrip() if i == 0 else token: value for token, value in named.items()}
        answer = chosen.lstrip() if i == 0 else chosen
        if not rest:  # the answer goes on where the label ends
            return total + math.log(max(1e-9, 1 - math.exp(min(0.0, named.get(chosen, 0.0)))))
        if answer and rest.startswith(answer):
            total, rest = total + named.get(chosen, 0.0), rest[len(answer) :]
            continue
        fitting = [v for t, v in here.items() if t and (rest.startswith(t) or t.startswith(rest))]
        if fitting:
            top = max(fitting)
            return total + top + math.log(sum(math.exp(value - top) for value in fitting))
        return total + min(named.values(), default=0.0) + UNSEEN
    return total if not rest else total + UNSEEN


def _steps(choice: Any) -> Steps:
    return [(one.text, {**dict(one.likeliest), one.text: one.logprob}) for one in _tokens(choice)]


def _tokens(choice: Any) -> tuple[Token, ...]:
    found = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
    return tuple(
        Token(
            step.token,
            step.logprob,
            tuple((one.token, one.logprob) for one in step.top_logprobs),
        )
        for step in found
    )


def _named(labels: Sequence[str], answer: str) -> dict[str, float]:
    """All for the label that the answer begins with; the same for all where it is none."""
    said = answer.strip().casefold()
    fitting = [label for label in labels if said.startswith(label.casefold())]
    chosen = max(fitting, key=len, default=None)
    if chosen is None:
        return dict.fromkeys(labels, -math.log(len(labels)))
    return {label: 0.0 if label == chosen else -20.0 for label in labels}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
