"""Slot values found in what a step's clauses say: languages, named choices, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import regex

from agent.planning import counts, labels
from tasks import languages
from tasks.languages import Mention
from tasks.spec import Slot, SlotValue, TaskSpec

LEADS_TARGET = regex.compile(
    r"(?:\b(?:ins?|into|to|auf|en|al|vers l[e']|for|of|only|reads?|speaks?|make (?:this|it)|then"
    r"|and)\s+"
    r"(?:an?\s|the\s|proper\s|plain\s)?"
    r"|[用成为為译譯翻要出到转换给讲写说个一份]|->|→)\s*$",
    regex.I,
)
FOLLOWS_TARGET = regex.compile(
    r"^\s*(?:(?:version|translation|rendering|digest|summary|please|pls|equivalent)\b"
    r"|(?:for|then)\b|[?？,，.。!]|$|版|译|翻译|怎么|呢|也|吧|是什么|的\W*$"
    r"|的?(?:简短|精简|译文|版本|内容|摘要|总结|说明|提要))",
    regex.I,
)
LEADS_SOURCE = regex.compile(
    r"(?:\b(?:from|this|these|that|written in|it'?s in|is in|the)\s+"
    r"|[从這这那]\p{Han}{0,2}|下面的|以下|收到\p{Han}{0,3}|看不懂|不懂)\s*$",
    regex.I,
)
FOLLOWS_SOURCE = regex.compile(
    r"^\s*(?:(?:text|letter|e?-?mail|message|sentence|comment|review|note|sign|article|paragraph)\b"
    r"|(?:below|above|one below|original|post|menu)\b|,? ?I think"
    r"|的?(?:邮件|信|评论|短信|文章|这句|句子|留言|原文|新闻|帖子|段落|告示|说明书?上))",
    regex.I,
)
NEGATED = regex.compile(
    r"(?:\bnot|n't|\bno|\bthan|instead of|rather than|不是|不要|别|不用|看不懂|不懂|不会)\s*"
    r"(?:in(?:to)?\s+|to\s+)?$",
    regex.I,
)
LIST_GOES_ON = regex.compile(
    r"(?=.*(?:,|&|\+|[，、；;]|and|as well as|plus|then|和|与|及|跟|还|再|又|也|除了))"
    r"(?:[\s,，、；;&+]|\b(?:and|both|as well as|also|plus|then|again|in|into|to|one|an?|once)\b"
    r"|和|与|以及|及|跟|还要?|再|然后|最后|接着|又|也|各|之后|的|版本?|一份|一遍|一版|翻?[译譯]?[成为為]?|翻|[用要])+",
    regex.I,
)


@dataclass(frozen=True)
class Target:
    """A language asked for: its code, and how clearly it is a target (2 clear, below 0 not)."""

    code: str
    weight: int


def find_target(text: str, content_language: str | None = None) -> Target | None:
    """The language asked for in an instruction; None when none is named."""
    best: Target | None = None
    for mention in languages.find(text):
        weight = _weight(text, mention)
        if mention.code == content_language:
            weight -= 2
        if best is None or weight >= best.weight:
            best = Target(mention.code, weight)
    return best if best and best.weight > -2 else None


def find_targets(text: str, content_language: str | None = None) -> list[str]:
    """Codes of all languages asked for: "into Hebrew and then Romanian" asks for two."""
    best = find_target(text, content_language)
    if best is None:
        return []
    mentions = languages.find(text)
    place = max(i for i, mention in enumerate(mentions) if mention.code == best.code)
    first = last = place
    while first and _listed(text, mentions[first - 1], mentions[first]):
        first -= 1
    while last + 1 < len(mentions) and _listed(text, mentions[last], mentions[last + 1]):
        last += 1
    codes = dict.fromkeys(mention.code for mention in mentions[first : last + 1])
    return [code for code in codes if code != content_language] or [best.code]


def _listed(text: str, one: Mention, other: Mention) -> bool:
    """Whether only words that continue a list stand between two mentions."""
    return LIST_GOES_ON.fullmatch(text[one.end : other.start]) is not None


def wanted(text: str) -> str | None:
    """The language that is clearly asked for, whatever the content is in; else None."""
    target = find_target(text)
    return target.code if target and target.weight > 0 else None


def find_source(text: str) -> str | None:
    """The language the instruction says the content is in; None when it says none."""
    for mention in languages.find(text):
        before, after = text[: mention.start], text[mention.end :]
        if regex.search(r"\bfrom\s+$|从$|由$", before, regex.I) or FOLLOWS_SOURCE.search(after):
            return mention.code
    return None


def find_choice(slot: Slot, text: str) -> str | None:
    """The named choice whose longest word is in the text."""
    low = text.casefold()
    named = [
        (len(word), name)
        for name, choice in slot.choices.items()
        for word in choice.words
        if _has_word(low, word.casefold())
    ]
    return max(named)[1] if named else None


def fill(
    task: TaskSpec,
    asked: str,
    content_language: str,
    request_language: str,
    earlier: Mapping[str, SlotValue] = MappingProxyType({}),
    whole: str = "",
) -> dict[str, SlotValue]:
    """Values for the task's slots; a slot without a value is left out.

    Args:
        asked: the clauses that ask for the step, unmasked.
        content_language: of the content, or of the output of the step before.
        request_language: of the instruction itself.
        earlier: what the same task was given in the turn before, for what is left unsaid.
        whole: the whole instruction, for what the step's own clauses leave unsaid.
    """
    values: dict[str, SlotValue] = {}
    choices = [slot for slot in task.slots.values() if slot.type == "choice"]
    chosen = any(find_choice(slot, asked) for slot in choices)
    for name, slot in task.slots.items():
        if slot.type == "count":
            if name in earlier and not chosen:
                values[name] = earlier[name]
            continue
        value = _named(slot, asked, content_language)
        if value is None or slot.type == "labels":  # a list may be tagged in part
            value = _named(slot, whole or asked, content_language) or value
        if value is None and slot.default != "detected":
            value = earlier.get(name)
        if value is None:
            value = _default(slot, asked, content_language, request_language)
        if value is not None:
            values[name] = value
    return values | _counted(task, asked, whole)


def _counted(task: TaskSpec, asked: str, whole: str) -> dict[str, SlotValue]:
    """How many pieces are asked for, and the choice that these are."""
    for name, slot in task.slots.items():
        found = slot.type == "count" and (counts.find(slot, asked) or counts.find(slot, whole))
        if found:
            choice, number = found
            owners = {key: slot for key, slot in task.slots.items() if choice in slot.choices}
            usual = any(slot.default == choice for slot in owners.values())
            if number > 1 or not usual:  # one sentence is what a task may give unasked
                return {**dict.fromkeys(owners, choice), name: str(number)}
    return {}


def _named(slot: Slot, asked: str, content_language: str) -> SlotValue | None:
    if slot.type == "choice":
        return find_choice(slot, asked)
    if slot.type == "labels":
        return labels.find(asked)
    if slot.default == "detected":
        return find_source(asked)
    target = find_target(asked, content_language)
    return target.code if target else None


def _default(
    slot: Slot, asked: str, content_language: str, request_language: str
) -> SlotValue | None:
    if slot.type != "language":
        return slot.default
    if slot.default == "detected":
        return content_language
    if slot.default not in {None, "other"}:
        return slot.default
    place = languages.of_place(asked)
    if place is not None and place != content_language:
        return place
    return _implied(content_language, request_language)


def _implied(content_language: str, request_language: str) -> str:
    if content_language == "zh":
        return "en"
    if content_language == "en":
        return "zh"
    return request_language if request_language != content_language else "en"


def _weight(text: str, mention: Mention) -> int:
    before, after = text[: mention.start], text[mention.end :]
    weight = 0
    if NEGATED.search(before):
        return -4
    if LEADS_TARGET.search(before) or not before.strip():
        weight += 1
    if FOLLOWS_TARGET.search(after):
        weight += 1
    if LEADS_SOURCE.search(before):
        weight -= 1
    if FOLLOWS_SOURCE.search(after):
        weight -= 2
    return weight


def _has_word(text: str, word: str) -> bool:
    if languages.HAN.search(word):
        return word in text
    return regex.search(rf"(?<!\p{{L}}){regex.escape(word)}(?!\p{{L}})", text) is not None


def is_target(text: str, mention: Mention) -> bool:
    """Whether a language stands where a wanted one does: "in French", 用法语, "French version"."""
    return _weight(text, mention) > 0
