"""What an answer may go on with, token by token: a mask over the vocabulary.

llguidance works out the masks of a grammar (github.com/guidance-ai/llguidance), each when it is
needed: nothing is compiled for a whole vocabulary before the first token.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from core.errors import InputError
from engine.interface import Grammar

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# Of JSON, what json.dumps writes: a small model that may choose its white space goes on with it.
JSON_STYLE: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
LIMITS = LLParserLimits(verbose_errors=False)
MAX_REASON = 300  # characters of what the library says of a grammar
Mask = NDArray[np.bool_]


class Constraint(Protocol):
    """What one answer may go on with. It is advanced by each token that is picked."""

    @property
    def finished(self) -> bool:
        """Whether the answer is complete, and nothing but its end may follow."""
        ...

    def allowed(self, size: int) -> Mask:
        """The ids that may come next, of shape (size,); `size` is that of the vocabulary.

        Where the answer may end, the tokens that end it are among them.
        """
        ...

    def advance(self, token: int) -> None:
        """Take in the token that was picked, one of those that were allowed."""
        ...


class GrammarConstraint:
    """Holds one answer to a grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def finished(self) -> bool:
        """See `Constraint`."""
        return bool(self._matcher.is_stopped())

    def allowed(self, size: int) -> Mask:
        """See `Constraint`.

        Raises:
            InputError: the grammar takes too much work at this place.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._require_sound()
        mask = np.unpackbits(bits, count=min(size, 8 * len(bits)), bitorder="little").astype(bool)
        return np.pad(mask, (0, size - len(mask)))

    def advance(self, token: int) -> None:
        """See `Constraint`. Raises as `allowed`."""
        self._matcher.consume_token(token)
        self._require_sound()

    def _require_sound(self) -> None:
        if self._matcher.is_error():
            raise InputError(f"The answer cannot follow this grammar: {_reason(self._matcher)}")


class Constraints:
    """The constraints of one base's answers. Safe to use from many threads.

    Args:
        tokenizer: transformers' fast tokenizer of the base.
        end_tokens: ids that end an answer.
    """

    def __init__(self, tokenizer: Any, end_tokens: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._end_tokens = sorted(end_tokens)
        self._prepared: LLTokenizer | None = None
        self._lock = threading.Lock()

    def prepare(self) -> LLTokenizer:
        """The vocabulary as the library reads it, made when first asked for: seconds for a large
        one.
        """
        with self._lock:
            if self._prepared is None:
                backend = self._tokenizer.backend_tokenizer.to_str()
                self._prepared = LLTokenizer(backend, eos_token=self._end_tokens)
            return self._prepared

    def of(self, grammar: Grammar) -> Constraint:
        """The constraint of a new answer.

        Raises:
            InputError: the grammar is wrong, or says what is not supported.
        """
        matcher = LLMatcher(self.prepare(), _source(grammar), log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise InputError(_refusal(grammar, _reason(matcher)))
        return GrammarConstraint(matcher)


def require_supported(grammar: Grammar) -> None:
    """See that answers can be held to the grammar, whatever the base.

    Raises:
        InputError: it is wrong, or says what is not supported.
    """
    failed, messages = LLMatcher.validate_grammar_with_warnings(_source(grammar), limits=LIMITS)
    if failed:
        raise InputError(_refusal(grammar, " ".join(messages)))


def _source(grammar: Grammar) -> str:
    """The grammar in the library's own form.

    Raises:
        InputError: it is no JSON where it must be.
    """
    match grammar.kind:
        case "json_schema":
            try:
                schema = json.loads(grammar.text)
                return str(LLMatcher.grammar_from_json_schema(schema, overrides=JSON_STYLE))
            except (ValueError, TypeError) as error:
                raise InputError(_refusal(grammar, str(error))) from error
        case "regex":
            return str(LLMatcher.grammar_from_regex(grammar.text))
        case "lark":
            return str(LLMatcher.grammar_from_lark(grammar.text))


def _refusal(grammar: Grammar, reason: str) -> str:
    kinds = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "Lark grammar"}
    reason = " ".join(reason.split())[:MAX_REASON].rstrip(".")
    return f"No answer can be held to this {kinds[grammar.kind]}: {reason}. Change or leave it out."


def _reason(matcher: LLMatcher) -> str:
    return " ".join(matcher.get_error().split())[:MAX_REASON] or "it takes too much work"
