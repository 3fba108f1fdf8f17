"""Who asks: keys, the names they go by, and the adapters each may use."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

MIN_KEY_LENGTH = 16  # of a key, in characters; shorter ones can be guessed


class ApiKey(BaseModel):
    """One key of the setting `api_keys`: `{key: ..., adapters: [...]}`, or the key alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr = Field(min_length=MIN_KEY_LENGTH)
    adapters: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _key_alone(cls, value: object) -> object:
        return {"key": value} if isinstance(value, str) else value


@dataclass(frozen=True)
class Visitor:
    """Somebody who asks. `allowed` are the adapters that may answer; None is all of them."""

    name: str
    allowed: frozenset[str] | None = None


class Keys:
    """The keys by which visitors are known. Without any, everybody may ask.

    Args:
        closed: those who come without a key have logged in otherwise, even where there are no keys.
    """

    def __init__(self, keys: Mapping[str, ApiKey], closed: bool = False) -> None:
        self._closed = closed
        self._visitors = {
            name: Visitor(name, None if key.adapters is None else frozenset(key.adapters))
            for name, key in keys.items()
        }
        self._names = {_digest(key.key.get_secret_value()): name for name, key in keys.items()}

    def __bool__(self) -> bool:
        return bool(self._visitors) or self._closed

    def holder(self, key: str) -> Visitor | None:
        """Who holds the key, if anybody."""
        name = self._names.get(_digest(key))
        return self._visitors[name] if name is not None else None

    def named(self, name: str | None, address: str) -> Visitor:
        """Who has logged in under the name, or where nobody need log in, whoever has the address.

        Raises:
            KeyError: nobody has that name.
        """
        if self._closed and name:
            return Visitor(name)
        return self._visitors[name or ""] if self else Visitor(address)

    def login(self, name: str, key: str) -> bool:
        """Whether the key is that of the name."""
        holder = self.holder(key)
        return holder is not None and hmac.compare_digest(holder.name.encode(), name.encode())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
