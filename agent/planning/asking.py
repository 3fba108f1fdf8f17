"""What is asked back where a request cannot be worked on as it stands."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from itertools import pairwise

import regex

from agent.plan import Question, Step
from agent.planning import slots
from tasks import languages
from tasks.spec import TaskSpec

LINK = regex.compile(r"<?(?:https?://|www\.)\S+>?")
FEWEST_WORDS, FEWEST_HAN = 3, 5  # that can be made shorter
TARGET_WORD = regex.compile(
    r"(?:\btranslat\w*\b[^.:\n]*?\s(?:in)?to|\b(?:put|turn|render|convert)\b[^.:\n]*?\sinto)\s+(?P<word>\p{L}{3,})"
    r"|[译翻](?:译|成|为){1,3}(?P<word>\p{Han}{1,4}[语文話话])",
    regex.I,
)
NO_LANGUAGE = {
    "the", "this", "that", "these", "another", "other", "any", "one", "two", "it", "plain",
    "simple",
    "my", "your", "his", "her", "our", "their", "proper", "good", "both", "three", "each", "formal",
}  # fmt: skip
EITHER = regex.compile(r"\s*(?:or|还是|或者?|oder|ou|o)\s*", regex.I)
AGREES = regex.compile(r"(?:yes|yeah|yep|both|是的?|对的?|都要|两种都?要?)(?:,? please)?", regex.I)
# What may stand around a language in a reply that says nothing else.
AROUND_LANGUAGE = regex.compile(
    r"(?:\b(?:in|to|into|and|please|sorry|i meant?)\b|请|翻?译?成|用|和|吧|[\s\p{P}])*", regex.I
)


def about_content(task: TaskSpec, content: str | None, asked: str) -> Question | None:
    """What to ask where a step has nothing to work on.

    Args:
        content: what was found, in the request or before it.
        asked: the instruction, whose language the question is in.
    """
    zh = languages.HAN.search(asked) is not None
    if content is not None and LINK.fullmatch(content.strip()):
        return Question(
            "link",
            "链接不会被打开。请把文字粘贴到这里。"
            if zh
            else "Links are not opened here. Paste the text itself below your request.",
        )
    if content is None or _too_short(task, content):
        return Question(
            "text",
            f"没有找到可以{task.title.zh}的文字。请把文字粘贴在要求的下面。"
            if zh
            else f"There is no text for “{task.title.en}” in this request. Paste it below the "
            "request, or after a colon. Links and files are not opened from here.",
        )
    return None


def about_language(asked: str, steps: Sequence[Step]) -> Question | None:
    """What to ask where the language to translate into is unknown or one of two."""
    zh = languages.HAN.search(asked) is not None
    for one, two in pairwise(languages.find(asked)):
        if not slots.is_target(asked, one):
            continue
        if one.code != two.code and EITHER.fullmatch(asked[one.end : two.start]):
            names = [asked[m.start : m.end] for m in (one, two)]
            return Question(
                "language",
                f"译成{names[0]}还是{names[1]}？请只说一种。"
                if zh
                else f"Into {names[0]} or into {names[1]}? Name one of them, or say “both”.",
                asked=asked,
                unclear=asked[one.start : two.end],
                suggested=f"{names[0]}{'和' if zh else ' and '}{names[1]}",
            )
    if languages.find(asked):
        return None
    match = TARGET_WORD.search(asked)
    if match is None or match["word"].casefold() in NO_LANGUAGE:
        return None
    word = match["word"]
    near = _near(word, 2)
    likely = " or ".join(name.title() for name in near)
    return Question(
        "language",
        f"不认识语言“{word}”。请写出语言的名字，例如英语或法语。"
        if zh
        else f"“{word}” is not a language known here. "
        + (f"Did you mean {likely}?" if near else "Name one, such as French or Chinese."),
        asked=asked,
        unclear=word,
        suggested=likely if len(near) == 1 else "",
    )


def with_language(question: Question, reply: str) -> str | None:
    """The instruction with the language of a reply in the place of what was unclear; None where the
    reply is something else.
    """
    said = reply.strip().rstrip(".!。！")
    if AGREES.fullmatch(said):
        named = question.suggested
    else:
        found = [said[one.start : one.end] for one in languages.find(said)]
        around = functools.reduce(lambda rest, name: rest.replace(name, " ", 1), found, said)
        named = " and ".join(found) if AROUND_LANGUAGE.fullmatch(around) else ""
    if not named and len(said) > 2 and (languages.parse(said) or _near(said, 1)):
        named = said  # like polish, which is another word elsewhere, or frensh, to be asked about
    return question.asked.replace(question.unclear, named, 1) if named else None


def _near(word: str, most: int) -> list[str]:
    """Names of languages that are spelt like a word."""
    names = [languages.name(code).casefold() for code in languages.codes()]
    return difflib.get_close_matches(word.casefold(), names, n=most, cutoff=0.75)


def _too_short(task: TaskSpec, content: str) -> bool:
    """Whether there is nothing in a text that could be left out."""
    shortens = task.kind == "write" and not task.conversation and task.target_slot is None
    han = len(languages.HAN.findall(content[:500]))
    words = len(regex.findall(r"[\p{L}\p{N}]+", content[:500]))
    return shortens and han < FEWEST_HAN and words < FEWEST_WORDS
