"""What a base reads, as token ids: messages in its chat template, texts as they stand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from core.errors import InputError
from engine.interface import Tools
from engine.tool_calls import CallForm, form_of
from tasks.spec import Message

SHOWN_OF_TOOLS = ("name", "description", "parameters")


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

    @cached_property
    def call_form(self) -> CallForm | None:
        """How a call of a tool is said; None where the base knows no tools."""
        return form_of(self.tokenizer)

    def prompt_ids(self, messages: Sequence[Message], tools: Tools | None = None) -> list[int]:
        """The messages as a prompt that the base's own turn follows.

        Text that spells a special token is broken up, so that nobody can write another's turn; so
        is what stands for a tool's, where there are any.
        """
        of_tools = tools is not None or any(message["role"] == "tool" for message in messages)
        unspelled = self.tokenizer.all_special_tokens
        if of_tools and (form := self.call_form):
            unspelled = [*unspelled, form.begin, form.end, *form.markers]
        encoded = self.tokenizer.apply_chat_template(
            [_defused(_turn(message), unspelled) for message in messages],
            tools=[_defused(_shown(one), unspelled) for one in tools.definitions]
            if tools
            else None,
            add_generation_prompt=True,
            return_dict=True,
            enable_thinking=False,
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def begun_ids(self, text: str) -> list[int]:
        """The beginning of the base's own turn, to stand behind its prompt."""
        return self.text_ids(str(_defused(text, self.tokenizer.all_special_tokens)))

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


def _turn(message: Message) -> dict[str, Any]:
    """A message as chat templates read it."""
    turn: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if calls := message.get("calls"):
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in calls
        ]
    if "call_id" in message:
        turn["tool_call_id"] = message["call_id"]
    return turn


def _shown(definition: dict[str, Any]) -> dict[str, Any]:
    """What a base was tuned to read of a tool: not whether it is `strict`."""
    function = definition["function"]
    named = {name: function[name] for name in SHOWN_OF_TOOLS if name in function}
    return {"type": "function", "function": named}


def _defused(value: Any, tokens: Sequence[str]) -> Any:
    """Any JSON, with none of the tokens spelled in its texts."""
    if isinstance(value, dict):
        return {_defused(key, tokens): _defused(one, tokens) for key, one in value.items()}
    if isinstance(value, list):
        return [_defused(one, tokens) for one in value]
    if isinstance(value, str):
        for token in tokens:
            if len(token) > 1 and token in value:
                value = value.replace(token, f"{token[0]} {token[1:]}")
    return value
