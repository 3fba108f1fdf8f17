"""The wording of an instruction with its particulars masked, so that only what is asked routes.

A language becomes French or 法语, a quoted text “…”, a list of choices `A, B or C` or 甲、乙还是丙.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import regex

from tasks import languages

# One choice: a few words without sentence punctuation.
_ITEM = (
    r"(?P<item>(?!(?:plus|and|then|please|but|with)\b)"
    r"[\p{L}\p{N}][\p{L}\p{N}'’&-]*(?:[ /][\p{L}\p{N}&'’-]+){0,2}?)"
)
_WORD = r"(?P<item>[\p{Latin}][\p{Latin}-]*)"
_HAN = r"(?P<item>[\p{Han}\p{Latin}]{1,6}?)"
_HAN_END = r"(?P<item>[\p{Han}\p{Latin}]{1,6})"
_HAN_START = r"(?<=\b|[是于到放转有为：，(（])"
LISTS = [
    regex.compile(
        rf"{_ITEM}(?:, ?{_ITEM})+,? or (?:an? )?{_ITEM}(?=\W*(?:[.,;:?!)\n“\"—–]|$))", regex.I
    ),
    regex.compile(rf"(?<=[:：] ?){_ITEM}(?:, ?{_ITEM}){{2,}}(?=\W*(?:[.;?!)\n]|$))", regex.I),
    regex.compile(rf"(?<=\W|^){_WORD}(?: ?[/|] ?{_WORD}(?: {_WORD})?)+(?=\W|$)"),
    regex.compile(rf"{_HAN_START}{_HAN}(?:[、/]{_HAN})*(?:、|，)?还是(?:是|放|转|该)?{_HAN_END}"),
    regex.compile(
        rf"{_HAN_START}{_HAN}(?:[、/]{_HAN}){{2,}}(?:(?:和|或|以及|或者){_HAN})?(?=\W|$|里|中|三)"
    ),
]
# Manners before what is asked; they come with every task.
POLITE = regex.compile(
    r"^(?:(?:please|pls|plz|kindly|hey|hi|ok(?:ay)?|so|well|now|and|by the way|oh|great|also|just"
    r"|quickly"
    r"|(?:could|can|would|will) (?:you|u)(?: please| kindly| possibly| just| quickly| maybe)*"
    r"|(?:would|do) you mind|would you be so kind as to"
    r"|i(?:'d| would) (?:like|love|need) (?:for )?you to"
    r"|i (?:need|want) you to|help me(?: to)?|let'?s|go ahead and|try to|are you able to"
    r"|is it possible to|feel free to)\b[\s,.!:]*)+"
    r"|^(?:请问|请你|请您|请|麻烦你|麻烦您|麻烦|劳驾|帮忙|帮我们|帮我|帮|替我"
    r"|给我(?=[总概翻译写看分判])|能不能|能否|可不可以|可以|能|你能|你可以|我想让你|我想请你"
    r"|我要你|我需要你|拜托|那个|那就|那么|嗯|好的|好|对了|顺便|另外|你)+[，,、\s]*",
    regex.I,
)
TRIM = regex.compile(
    r"^(?:is (?:it|this|that)|this|that|it'?s?|as|under|to|into|or|and|an?|the|be|go to|go)\s+"
    r"|^(?:这条\p{Han}{0,3}是|是|属于|该|放|转|算|告诉我|判断|归到|或者|或|以及|和)|[吗呢啊呀？?。.]+$",
    regex.I,
)


@dataclass(frozen=True)
class ChoiceList:
    """A list of choices in a text: the choices, and the place, `text[start:end]`."""

    names: tuple[str, ...]
    start: int
    end: int


def find_choices(text: str) -> ChoiceList | None:
    """The first list of choices: `a, b or c`, `a/b/c`, 甲、乙还是丙, `labels: a, b, c`."""
    for pattern in LISTS:
        match = pattern.search(text)
        if match:
            names = tuple(_trim(name) for name in match.captures("item"))
            if len(names) > 1 and all(names):
                return ChoiceList(names, match.start(), match.end())
    return None


def mask(text: str, own: Collection[str] = ()) -> str:
    """The text with its languages and its list of choices masked.

    Args:
        text: an instruction, its quoted content already masked.
        own: words of fixed labels (`positive`, 中性); a list with one of them stays, since those
            words say which task is meant.
    """
    choices = find_choices(text)
    if choices and len(choices.names) > 2 and not any(n.casefold() in own for n in choices.names):
        other = (
            "甲、乙还是丙"
            if languages.HAN.search(text[choices.start : choices.end])
            else "A, B or C"
        )
        text = text[: choices.start] + other + text[choices.end :]
    bare = POLITE.sub("", text)
    long_enough = len(bare) > (1 if languages.HAN.search(bare) else 3)
    text = bare if long_enough else text
    parts, end = [], 0
    for mention in languages.find(text):
        name = "法语" if languages.HAN.search(text[mention.start : mention.end]) else "French"
        parts += [text[end : mention.start], name]
        end = mention.end
    return "".join([*parts, text[end:]])


def _trim(name: str) -> str:
    while (shorter := TRIM.sub("", name.strip())) != name:
        name = shorter
    return name
