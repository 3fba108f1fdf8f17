"""Line ends within sentences, of subtitles and hard-wrapped texts: taken out, and put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import pairwise

import regex

from documents import Block
from documents.text_source import as_it_is, run_on

NARROW = 40  # characters; a line that ends before has its end for a reason
_DASH = regex.compile(r"\s*[-–—]")
_WIDE = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"
# What stays on one line: a tag, a word, an Asian character with the closing signs behind it.
_UNIT = regex.compile(
    rf"\s*(?:(?:<[^<>\n]*>)*(?:{_WIDE}[，。、；：？！”’）》」]*|(?:(?!{_WIDE})[^\s<])+|<))"
)


def unbroken(block: Block) -> tuple[str, Callable[[str], str]]:
    """A block's text with only those line ends that mean something, and what breaks a text that
    comes in its place as that was broken.

    The lines of a subtitle are one, but for those of two speakers. A paragraph is wrapped where
    each line is as full as the next word lets it be, and most end within a sentence; verse is not.
    """
    lines = block.given.split("\n")
    whole = reduce(run_on, filter(None, map(str.strip, lines)), "")
    if len(lines) > 1 and block.kind == "caption" and not any(map(_DASH.match, lines)):
        return whole, partial(_balanced, count=len(lines))
    width = _wrapped_at(lines) if block.kind in {"paragraph", "list"} else None
    if width is None:
        return block.given, as_it_is
    indent = lines[1][: len(lines[1]) - len(lines[1].lstrip())]
    return whole, lambda new: f"\n{indent}".join(_filled(new, width))


def _wrapped_at(lines: Sequence[str]) -> int | None:
    """The width that lines were wrapped at; None where they were not."""
    width = max(map(_width, lines))
    full = (
        _width(line) + 1 + _width(next(iter(after.split()), "")) > width
        for line, after in pairwise(lines)
    )
    within = sum(line.rstrip()[-1:].isalnum() for line in lines[:-1])
    wrapped = len(lines) > 1 and width >= NARROW and all(full) and 2 * within > len(lines) - 1
    return width if wrapped else None


def _balanced(text: str, count: int) -> str:
    """At most so many lines, about equally long."""
    width = -(-_width(text) // count)
    while len(lines := _filled(text, width)) > count:
        width += 1
    return "\n".join(lines)


def _filled(text: str, width: int) -> list[str]:
    lines = [""]
    for unit in _UNIT.findall(text):
        if lines[-1] and _width(lines[-1] + unit) > width:
            lines.append("")
        lines[-1] += unit if lines[-1] else unit.lstrip()
    return lines


def _width(text: str) -> int:
    """In columns: an Asian character takes two."""
    return len(text) + len(regex.findall(_WIDE, text))
