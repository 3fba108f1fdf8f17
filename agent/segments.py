"""Cut a long text into sentences, and keep everything between them: the layout survives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import sentencex

from agent.verbatim import without_parts

# What may stand before a line's words in Markdown: indent, quote, heading, bullet, number, box.
_MARKER = re.compile(r"\s*(?:>\s*)*(?:#{1,6}\s+|[-*+•]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)、]\s*)?")
_FENCE = re.compile(r"\s*(```|~~~)")
_WORDS = re.compile(r"[^\W\d_]")
_ROW = re.compile(r"\s*\|.*\|\s*")  # of a Markdown table
_TAG = re.compile(r"<(?P<close>/)?(?P<name>[A-Za-z][\w-]*)[^<>\n]*?(?P<lone>/)?>")
_LAST_TAG = re.compile(r"<[^<>\n]*>\Z")
_HAN = re.compile(r"[\u3400-\u9fff]+")
_RUN = re.compile(r"[\u3400-\u9fff]+|[\u3040-\u30ff]|[^\s\u3040-\u30ff\u3400-\u9fff]+|\s+")
_MARKS = re.compile(r"[\s，。！？；、…“”‘’（）《》【】,.!?;\"]+")  # and no emoticon
_CELL = re.compile(r"(?:\\.|`[^`\n]*`|[^|\\])+|\\")


@dataclass(frozen=True)
class Segment:
    """A part of a text: `before` and `after` are kept as they are, `core` is worked on."""

    before: str
    core: str
    after: str


def sentences(text: str, language: str) -> Iterator[Segment]:
    """The sentences of a text, line by line; joined again they give the text back.

    What has no words of a language has an empty `core`: code fences and what they hold, and
    lines and sentences of nothing but code, links, placeholders, digits and signs. The cells of a
    table are sentences of their own.

    Args:
        text: any text, Markdown included.
        language: ISO 639-1 code of the text.
    """
    fenced = False
    for line in text.splitlines(keepends=True):
        fence = bool(_FENCE.match(line))
        if fence or fenced or not _has_words(line):
            fenced = fenced != fence
            yield Segment(line, "", "")
        elif _ROW.fullmatch(line):
            yield from _cells(line)
        else:
            yield from _line(line, language)


def _has_words(text: str) -> bool:
    return bool(_WORDS.search(without_parts(text)))


def _cells(row: str) -> Iterator[Segment]:
    end = 0
    for cell in _CELL.finditer(row):
        core = cell.group().strip()
        if _has_words(core):
            start = row.index(core, cell.start())
            yield Segment(row[end:start], core, "")
            end = start + len(core)
    yield Segment(row[end:], "", "")


def _line(line: str, language: str) -> Iterator[Segment]:
    marker = _MARKER.match(line)
    before = marker.group() if marker else ""
    for sentence in sentencex.segment(language, line[len(before) :]):
        core = sentence.strip()
        if not _has_words(core):
            yield Segment(before + sentence, "", "")
        else:
            start = sentence.index(core)
            begin, end = (start + place for place in _within_tags(core))
            yield Segment(before + sentence[:begin], sentence[begin:end], sentence[end:])
        before = ""


def _within_tags(core: str) -> tuple[int, int]:
    """Where a sentence is that stands within tags: those at its ends need not be worked on.

    A tag stays in it if its partner stands among its words.
    """
    begin, end = 0, len(core)
    while True:
        inner = core[begin:end]
        first, last = _TAG.match(inner), _LAST_TAG.search(inner)
        last = _TAG.match(inner, last.start()) if last else None
        if first and last and _partners(first, last, inner):
            begin, end = begin + first.end(), end - len(last.group())
        elif first and not _has_partner(first, inner):
            begin += first.end()
        elif last and not _has_partner(last, inner):
            end -= len(last.group())
        else:
            break
        space = core[begin:end]
        begin, end = (
            begin + len(space) - len(space.lstrip()),
            end - len(space) + len(space.rstrip()),
        )
    return begin, end


def _partners(first: re.Match[str], last: re.Match[str], text: str) -> bool:
    """Whether a text stands between two tags that belong together."""
    closes = last["close"] and not first["close"] and not first["lone"]
    return bool(closes) and first["name"] == last["name"] and text.count(f"</{first['name']}>") == 1


def _has_partner(tag: re.Match[str], text: str) -> bool:
    if tag["lone"]:
        return False
    return bool(re.search(rf"<{'' if tag['close'] else '/'}{tag['name']}\b", text))


def groups(text: str, most: int) -> list[str]:
    """Cut a text into at most `most` runs of whole words, about equal.

    Joined again they give the text back.
    """
    words = _words(text)
    if not words:
        return [text] if text else []
    count = min(most, len(words))
    cuts = [round(i * len(words) / count) for i in range(count + 1)]
    return ["".join(words[a:b]) for a, b in pairwise(cuts)]


def _words(text: str) -> list[str]:
    """The words of a text, Chinese ones by a dictionary, each with the spaces and marks behind it;
    none where there is nothing but spaces.
    """
    words: list[str] = []
    for run in _RUN.findall(text):
        for word in _chinese_words(run) if _HAN.match(run) else [run]:
            if words and (_MARKS.fullmatch(word) or _MARKS.fullmatch(words[0])):
                words[-1] += word
            else:
                words.append(word)
    return words if text.strip() else []


def _chinese_words(run: str) -> list[str]:
    import rjieba  # reads its dictionary, half a second

    found: list[str] = rjieba.cut(run)
    return found
