"""The turns of a conversation in a data file: lists of messages, and transcripts."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from tasks import nested
from tasks.records import RowError
from tasks.spec import Message

SPEAKER = re.compile(r"^(?:(User|Human|用户)|(?:Assistant|助手))\s*[:：]\s*", re.M)
Role = Literal["system", "user", "assistant"]
ROLES = ("system", "user", "assistant")
SHAREGPT = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bard": "assistant"}


def split_conversation(
    record: dict[str, Any], column: str, roles: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A conversation in OpenAI's form, or ShareGPT's, as the columns text, answer and history.

    Raises:
        RowError: it is no list of messages that ends with the assistant's.
    """
    turns = read_history(nested.lookup(record, column))
    if len(turns) < 2 or [turn["role"] for turn in turns[-2:]] != ["user", "assistant"]:
        raise RowError(
            "row.messages",
            "{column} must end with a user's and an assistant's message",
            column=repr(column),
        )
    *before, asked, answered = turns
    names = ("text", "answer", "history")
    values = (asked["content"], answered["content"], before)
    others = {name: role for name, role in roles.items() if role != "messages"}
    return {**record, **dict(zip(names, values, strict=True))}, {**others, **{n: n for n in names}}


def read_history(value: Any) -> tuple[Message, ...]:
    """Earlier turns: a list of messages, or a transcript whose lines begin `User:`, `Assistant:`.

    Raises:
        RowError: it is neither.
    """
    if not value:
        return ()
    if isinstance(value, str):
        cuts = list(SPEAKER.finditer(value))
        if not cuts or value[: cuts[0].start()].strip():
            raise RowError(
                "row.transcript", "the history does not begin with `User:` or `Assistant:`"
            )
        ends = [cut.start() for cut in cuts[1:]] + [len(value)]
        return tuple(
            Message(role="user" if cut[1] else "assistant", content=value[cut.end() : end].strip())
            for cut, end in zip(cuts, ends, strict=True)
        )
    if not isinstance(value, list):
        raise RowError(
            "row.history",
            "the history is a {type}, not a list of messages",
            type=type(value).__name__,
        )
    return tuple(map(_turn, value))


def _turn(value: Any) -> Message:
    """`{"role": ..., "content": ...}`, or ShareGPT's `{"from": ..., "value": ...}`."""
    turn = value if isinstance(value, dict) else {}
    said = turn.get("role", turn.get("from"))
    role = SHAREGPT.get(said, said) if isinstance(said, str) else None
    if role not in ROLES:
        raise RowError("row.role", "a message has no role among {roles}", roles=", ".join(ROLES))
    content = _content(turn.get("content", turn.get("value")))
    return Message(role=cast(Role, role), content=content.strip())


def _content(value: Any) -> str:
    """A text, or OpenAI's list of parts that are all text."""
    parts = value if isinstance(value, list) else [value]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    plain = [text for text in texts if isinstance(text, str)]
    if not texts or len(plain) < len(texts):
        raise RowError("row.content", "a message has no text as content")
    return "\n".join(plain)
