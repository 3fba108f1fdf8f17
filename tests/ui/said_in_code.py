"""The sentences that stand in the code under a key, so that none is without its Chinese."""

from __future__ import annotations

import ast
import string
from collections.abc import Collection

from core.paths import REPOSITORY

REFUSALS = ("Refusal", "NoConsent", "InEvaluationSet")


def said_in_code(functions: Collection[str], *parts: str) -> dict[str, str]:
    """Key -> English sentence of every call, in some folders, of what takes these two first."""
    found = {}
    for file in (file for part in parts for file in (REPOSITORY / part).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in functions:
                if not isinstance(node.args[0], ast.Constant):
                    continue  # what makes statements of others' keys
                key, sentence = (ast.literal_eval(one) for one in node.args)
                found[key] = sentence
    return found


def braces(sentence: str) -> set[str]:
    """The names of the values in a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
