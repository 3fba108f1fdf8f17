"""Which languages a base can be asked in, and which profile brings a base that can."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("base_languages.yaml")


def languages_of_base(base: str) -> list[str]:
    """ISO 639-1 codes; empty where nothing is known of the base.

    Args:
        base: its hub name.
    """
    return list(_bases().get(base, {}).get("languages", ()))


def profiles_for(language: str) -> list[str]:
    """The shipped profiles whose base can be asked in a language, by its ISO 639-1 code."""
    fitting = (one for one in _bases().values() if language in one["languages"])
    return [profile for one in fitting for profile in one["profiles"]]


@cache
def _bases() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found
