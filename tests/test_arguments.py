"""A call can be read without its definition: what a bare value or a long list means is named."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from core.paths import REPOSITORY

READ = ["agent", "api", "ui", "core", "app.py"]
MOST = 4  # positional arguments of one call
# One of their arguments is a default, by everybody's habit; filter's None keeps what is true.
DEFAULTS = {"next", "getattr", "get", "pop", "filter"}
# Gradio's listeners take (function, inputs, outputs); no function means that only a script runs.
LISTENERS = {"then", "change", "load"}
LISTS = {"documented"}  # of HTTP statuses, however many


def calls(part: str) -> Iterator[tuple[str, ast.Call]]:
    place = REPOSITORY / part
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{file.relative_to(REPOSITORY)}:{node.lineno}", node


def name(call: ast.Call) -> str:
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def is_unclear(arguments: list[ast.expr]) -> bool:
    """Whether None, True or False stands among other arguments and does not say what it is."""
    constants = [one.value for one in arguments if isinstance(one, ast.Constant)]
    bare = [value for value in constants if value is None or isinstance(value, bool)]
    return bool(bare) and len(arguments) > 1


@pytest.mark.parametrize("part", READ)
def test_bare_values_and_long_lists_are_named(part: str) -> None:
    hidden = [
        f"{place}: {ast.unparse(call)}"
        for place, call in calls(part)
        if (is_unclear(call.args) and name(call) not in DEFAULTS | LISTENERS)
        or (len(call.args) > MOST and name(call) not in LISTS)
    ]
    assert not hidden, "\n".join(hidden)
