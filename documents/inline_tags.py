"""Numbered tags for inline formatting: `<g1>bold</g1>` around words, `<x2/>` for what has none.

As translators' tools have them (XLIFF's `g` and `x`): a text can be worked on without knowing what
they stand for, and goes back into its place with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TAG = re.compile(r"<(?P<close>/)?g(?P<group>\d+)>|<x(?P<mark>\d+)/>")
# What subtitles have of their own: `<i>`, `{\an8}`.
CUE_TAG = re.compile(r"</?[A-Za-z0-9][^<>\n]*>|\{\\[^{}\n]*\}")
ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": "\u00a0", "&amp;": "&"}


def untagged(given: str) -> str:
    """A text without its tags."""
    return TAG.sub("", given)


def untagged_cue(given: str) -> str:
    """What is read of a subtitle: no tags, and characters for their entities."""
    shown = CUE_TAG.sub("", given)
    for entity, character in ENTITIES.items():
        shown = shown.replace(entity, character)
    return shown


@dataclass(frozen=True)
class Run:
    """Words under one formatting, or a mark of its own.

    Attributes:
        groups: numbers of the formattings around it, the outermost first.
        mark: number of what stands here without words; 0 for words.
    """

    text: str = ""
    groups: tuple[int, ...] = ()
    mark: int = 0


def runs(given: str, groups: int, marks: int) -> Iterator[Run]:
    """The runs of a text with tags. Marks that it has lost come at the end; a tag that is not
    closed is closed there, and one that the source did not have is words.

    Args:
        groups, marks: how many of each the source has.
    """
    open_groups: list[int] = []
    end, left = 0, list(range(1, marks + 1))
    for tag in TAG.finditer(given):
        group, mark = int(tag["group"] or 0), int(tag["mark"] or 0)
        closes = bool(tag["close"]) and group in open_groups
        opens = not tag["close"] and 0 < group <= groups and group not in open_groups
        if not (closes or opens or mark in left):
            continue
        if words := given[end : tag.start()]:
            yield Run(words, tuple(open_groups))
        end = tag.end()
        if mark:
            left.remove(mark)
            yield Run(groups=tuple(open_groups), mark=mark)
        elif closes:
            open_groups.remove(group)
        else:
            open_groups.append(group)
    if given[end:]:
        yield Run(given[end:], tuple(open_groups))
    yield from (Run(mark=mark) for mark in left)
