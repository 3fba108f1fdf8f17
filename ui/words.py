"""The page's words in English and Chinese.

Both languages are drawn, each in its own `<span lang>`, and the style sheet shows the one chosen.
So a change of language is instant, also in the middle of an answer, and asks the server nothing.
"""

from __future__ import annotations

import html
import json
from functools import cache
from pathlib import Path

import yaml

from agent.batch.commands import time_left
from tasks.spec import Both

LANGUAGES = ("en", "zh")


@cache
def words() -> dict[str, Both]:
    """Key -> phrase, from words.yaml and the other pages' own files."""
    texts = [file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("*words.yaml")]
    return {key: Both(**value) for text in texts for key, value in yaml.safe_load(text).items()}


def phrase(key: str, **fill: object) -> Both:
    """A phrase of words.yaml with its braces filled, by what is the same in both or differs."""
    both = words()[key]
    english = {name: one.en if isinstance(one, Both) else one for name, one in fill.items()}
    chinese = {name: one.zh if isinstance(one, Both) else one for name, one in fill.items()}
    return Both(en=both.en.format(**english), zh=both.zh.format(**chinese))


def duration(seconds: float) -> Both:
    """As a person says it: 40 s, 6 min, 3 h 20 min."""
    said = chinese = time_left(seconds)
    for unit, sign in (("h", "小时"), ("min", "分钟"), ("s", "秒")):
        chinese = chinese.replace(unit, sign)
    return Both(en=said, zh=chinese)


def show(both: Both) -> str:
    """HTML that shows the phrase in the interface's language."""
    return (
        f'<span lang="en">{html.escape(both.en)}</span>'
        f'<span lang="zh">{html.escape(both.zh)}</span>'
    )


def say(key: str, **fill: object) -> str:
    """HTML of a phrase of words.yaml, escaped."""
    return show(phrase(key, **fill))


def attributes(**said: str | Both) -> str:
    """A `data-words` attribute: the script keeps the named attributes in the chosen language.

    Args:
        said: attribute -> its phrase, or the key of one in words.yaml.
    """
    phrases = {name: phrase(one) if isinstance(one, str) else one for name, one in said.items()}
    values = {name.replace("_", "-"): both.model_dump() for name, both in phrases.items()}
    first = " ".join(f'{name}="{html.escape(both["en"])}"' for name, both in values.items())
    return f'{first} data-words="{html.escape(json.dumps(values, ensure_ascii=False))}"'


def option(value: str, said: Both, selected: bool = False) -> str:
    """An option of a select. It holds no markup; its label is shown in place of its text."""
    return (
        f'<option value="{html.escape(value)}"{" selected" if selected else ""} '
        f"{attributes(label=said)}>{html.escape(said.en)}</option>"
    )
