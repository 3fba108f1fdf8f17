"""Every refusal of the workshop has its sentence in Chinese, with the values of the English one."""

from __future__ import annotations

import ast
import string

from core.errors import PatchbayError
from core.paths import REPOSITORY
from ui.words import words
from ui.workshop_refusal import draw_refusal
from workshop.refusal import Refusal


def raised() -> dict[str, str]:
    """Key -> English sentence of every refusal in the code."""
    files = [*(REPOSITORY / "workshop").glob("*.py"), *(REPOSITORY / "ui").glob("workshop_*.py")]
    found = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                key, message = (ast.literal_eval(one) for one in node.args)
                found[key] = message
    return found


def names(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_refusal_is_said_in_chinese() -> None:
    assert len(raised()) > 8
    for key, message in raised().items():
        chinese = words()[f"refused.{key}"].zh
        assert names(chinese) <= names(message), key


def test_what_has_no_sentence_of_its_own_is_shown_in_english_below() -> None:
    drawn = draw_refusal(PatchbayError("The <disk> is full."))
    assert drawn.count("The &lt;disk&gt; is full.") == 2
    assert "详细信息（英文）" in drawn
    one = draw_refusal(Refusal("taken", "There is {name} already.", name="<b>"))
    assert "There is &lt;b&gt; already." in one
    assert "已有名为“&lt;b&gt;”的适配器" in one
