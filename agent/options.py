"""Request options: how a turn is to be answered beside its words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from core.errors import NotAllowed
from engine.interface import Grammar, Tools
from tasks.spec import Decoding

MAX_TEMPERATURE = 2  # that a request may ask for, as OpenAI's API has it


@dataclass(frozen=True)
class TurnOptions:
    """How the turn's texts are drawn, and by what. None leaves a value to the task.

    Attributes:
        max_tokens: written in the whole turn, over all its steps.
        until: stop strings: no text goes on past any of these.
        grammar: what the answer must be; it is then written by one step.
        tools: functions that the answer may call, of messages that are read as they stand.
        adapter: answers in place of the one that the task would take.
        use: task -> the adapter that answers it in place of that; None is the bare base.
        logprobs: give each written token's log-likelihood, and of so many others in its place.
        seed: of the sampling; another one gives another answer where the task samples.
        stop_loops: end a text that goes round in circles.
        allowed: adapters that may answer; None is all of them.
        visitor: who asks. The queue is fair between visitors.
        batch: the table that the text is a row of, see `engine.interface.WriteRequest`.
    """

    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_tokens: int | None = None
    until: tuple[str, ...] = ()
    grammar: Grammar | None = None
    tools: Tools | None = None
    adapter: str | None = None
    use: Mapping[str, str | None] = field(default_factory=dict)
    logprobs: int | None = None
    seed: int = 0
    stop_loops: bool = True
    allowed: Collection[str] | None = None
    visitor: str = ""
    batch: str = ""

    def decoding(self, default: Decoding) -> Decoding:
        """A task's own decoding, with what these options set in its place."""
        overrides = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "repetition_penalty": self.repetition_penalty,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "max_new_tokens": self.max_tokens,
            "seed": self.seed,
        }
        return default.model_copy(update={k: v for k, v in overrides.items() if v is not None})

    def require_allowed(self, adapter: str | None) -> None:
        """See that the adapter may answer; the bare base always may.

        Raises:
            NotAllowed: it is not among those that may.
        """
        if adapter is not None and self.allowed is not None and adapter not in self.allowed:
            may = ", ".join(sorted(self.allowed)) or "no adapter, only the base"
            raise NotAllowed(
                f"This request is answered by the adapter {adapter!r}, and the key that came with "
                f"it may use {may}. Ask for another task, or use another key."
            )


DEFAULT_OPTIONS = TurnOptions()
