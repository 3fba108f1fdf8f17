"""What is needed stands in pyproject.toml in ranges, and pinned once, inside them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]


def pins(file: str) -> dict[str, str]:
    """Package -> exact version."""
    lines = (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
    bare = [line.partition("#")[0].strip() for line in lines if not line.startswith("-")]
    parts = [line.split("==") for line in bare if line]
    return {canonicalize_name(name): version for name, version in parts}


def ranges(lines: Iterable[str]) -> dict[str, Requirement]:
    found = map(Requirement, lines)
    return {canonicalize_name(one.name): one for one in found if one.name != "patchbay"}


def test_the_app_needs_what_requirements_pins() -> None:
    assert set(ranges(PROJECT["dependencies"])) == set(pins("requirements.txt"))


def test_what_an_extra_adds_is_pinned_and_nothing_else() -> None:
    added = set(ranges(EXTRAS)) - set(pins("requirements.txt"))
    assert added == set(pins("constraints.txt"))


@pytest.mark.parametrize("lines", [PROJECT["dependencies"], EXTRAS])
def test_every_pin_is_in_its_range(lines: list[str]) -> None:
    pinned = pins("requirements.txt") | pins("constraints.txt")
    for name, wanted in ranges(lines).items():
        assert wanted.specifier.contains(pinned[name]), f"{wanted}, pinned {pinned[name]}"
