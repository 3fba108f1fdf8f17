"""Tools as they come in over HTTP: what is offered, and the calls of earlier answers."""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from agent.cleaning import MAX_CHARACTERS
from api.request_body import RequestBody
from core.errors import InputError
from tasks.spec import ToolCall

FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
MAX_DEPTH = 64  # levels of a schema, or of arguments: nobody's have as many
ATOMS = (str, int, float, NoneType)
LongText = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class CalledTool(RequestBody):
    """The function of a past call."""

    name: FunctionName
    arguments: LongText


class PastCall(RequestBody):
    """A call of a tool in an earlier answer."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["function"] = "function"
    function: CalledTool

    @property
    def called(self) -> ToolCall:
        """The call as engines have it.

        Raises:
            InputError: its arguments are no JSON object, or a very deep one.
        """
        arguments = self.function.arguments
        try:
            value = json.loads(arguments)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or _is_deep(value):
            raise InputError(
                f"The arguments of the call {self.id!r} must be a JSON object, in a string, of at "
                f"most {MAX_DEPTH} levels."
            )
        return ToolCall(self.id, self.function.name, arguments)


class OfferedFunction(RequestBody):
    """A function that the answer may call, with the JSON schema of its arguments."""

    name: FunctionName
    description: LongText | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _is_shallow(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if _is_deep(schema):
            raise PydanticCustomError("too_deep", "is nested too deeply: make it flatter")
        return schema


class OfferedTool(RequestBody):
    """A tool: a function, and no other kind is known."""

    type: Literal["function"]
    function: OfferedFunction


class NamedFunction(RequestBody):
    """A function by its name."""

    name: FunctionName


class NamedTool(RequestBody):
    """The tool that the answer must call."""

    type: Literal["function"]
    function: NamedFunction


def _is_deep(value: Any) -> bool:
    """Whether what walks over the JSON may not get to its ground."""
    level = [value]
    for _ in range(MAX_DEPTH):
        lists = (one.values() if isinstance(one, dict) else one for one in level)
        level = [part for parts in lists if not isinstance(parts, ATOMS) for part in parts]
    return bool(level)
