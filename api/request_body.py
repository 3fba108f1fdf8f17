"""What every request's body is: strict, and what is not known here may be in it if it is empty."""

# Annotations are values here: pydantic looks up those of extra fields where a subclass stands.
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError


def _says_nothing(value: object) -> object:
    """Clients send what they know, also where it asks for nothing: `tools: []`, `store: false`."""
    if value is None or value is False or value in ("", [], {}):
        return value
    raise PydanticCustomError("unknown_parameter", "is not known here")


SaysNothing = Annotated[
    Any,
    BeforeValidator(_says_nothing),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "null"},
                {"const": False},
                {"type": "string", "maxLength": 0},
                {"type": "array", "maxItems": 0},
                {"type": "object", "maxProperties": 0},
            ]
        }
    ),
]


class RequestBody(BaseModel):
    """A request's body. What is not known here may be there as null, false or empty, and as nothing
    else.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, SaysNothing]
