"""YAML whose words stay words: `no`, `on` and `2026-01-02` are text, and so is every key."""

from __future__ import annotations

from typing import Annotated, Any

import regex
import yaml
from pydantic import BeforeValidator


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2: true and false, decimal numbers, null, text.

    PyYAML reads YAML 1.1, where `no` is false, `012` ten and `12:30` a number of minutes.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"  # `1.0` and `null` name labels too
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _kind, _first, _pattern in (
    ("bool", "tTfF", r"true|True|TRUE|false|False|FALSE"),
    ("null", ["~", "n", "N", ""], r"null|Null|NULL|~|"),
    ("int", "-0123456789", r"-?(?:0|[1-9][0-9]*)"),
    ("float", "-+.0123456789", r"[-+]?(?:\.\d+|\d+\.\d*)(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+"),
    ("merge", "<", r"<<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", regex.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def load(text: str) -> Any:
    """The value that a YAML text describes.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=_Loader)


def _text(value: Any) -> Any:
    """A whole number is the text that it was; of others it is not known how they were written."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, bool | float):
        word = "null" if value is None else str(value).lower()
        raise ValueError(f"YAML reads no text here, but {word}; put it in quotes")
    return value


Text = Annotated[str, BeforeValidator(_text)]  # of a YAML file
