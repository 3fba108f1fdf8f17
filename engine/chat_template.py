"""What a base reads, as token ids: messages in its chat template, texts as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import InputError
from tasks.spec import Message


class ChatTemplate:
    """A base's chat template, for serving and training alike.

    Attributes:
        tokenizer: the base's fast tokenizer, which has the template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    @property
    def end_token(self) -> int:
        """The id that ends a turn."""
        end: int = self.tokenizer.eos_token_id
        return end

    @property
    def start_token(self) -> int:
        """The id before a text that nothing stands before, where the base has one; else the one
        that ends a text.
        """
        start: int | None = self.tokenizer.bos_token_id
        return self.end_token if start is None else start

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The messages as a prompt that the base's own turn follows.

        Text that spells a special token is broken up, so that nobody can write another's turn.
        """
        turns = [
            {"role": message["role"], "content": self._defused(message["content"])}
            for message in messages
        ]
        encoded = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True, enable_thinking=False
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def begun_ids(self, text: str) -> list[int]:
        """The beginning of the base's own turn, to stand behind its prompt."""
        return self.text_ids(self._defused(text))

    def text_ids(self, text: str, begin: bool = False) -> list[int]:
        """A text as it stands, see `engine.interface.ScoringEngine.tokens`."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=begin).input_ids
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as text, see `engine.interface.ScoringEngine.text`."""
        strange = next((token for token in ids if not 0 <= token < len(self.tokenizer)), None)
        if strange is not None:
            raise InputError(
                f"{strange} is no token of this base, which has {len(self.tokenizer):,}. Use its "
                "own tokenizer, or send text."
            )
        return str(self.tokenizer.decode(list(ids)))

    def _defused(self, text: str) -> str:
        for token in self.tokenizer.all_special_tokens:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text
