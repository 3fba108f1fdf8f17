"""Subtitles (SRT, WebVTT): the words of each cue; times, numbers and settings stay where they are.

The libraries that read them write them anew, and lose a VTT's styles, notes and positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from documents.document import Block
from documents.inline_tags import untagged_cue
from documents.text_source import Piece, lines

_CLOCK = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
TIME = re.compile(rf"\s*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}")
NUMBER = re.compile(r"\s*\d+\s*")


def srt(text: str) -> Iterator[Piece]:
    """The cues of an SRT; a blank line within one does not end it."""
    found = lines(text)
    times = [i for i, (_, line) in enumerate(found) if TIME.match(line)]
    for begin, end in pairwise([*times, len(found)]):
        numbered = end < len(found) and end - 1 > begin and NUMBER.fullmatch(found[end - 1][1])
        yield from _cue(found, begin + 1, end - bool(numbered), re.compile(r"(?!)"))


def vtt(text: str) -> Iterator[Piece]:
    """The cues of a WebVTT."""
    found = lines(text)
    for begin, (_, line) in enumerate(found):
        if TIME.match(line):
            rest = range(begin + 1, len(found))
            ends = (i for i in rest if not found[i][1].strip() or "-->" in found[i][1])
            end = next(ends, len(found))
            yield from _cue(found, begin + 1, end, re.compile(r"-->"))


def _cue(
    found: list[tuple[int, str]], begin: int, end: int, forbidden: re.Pattern[str]
) -> Iterator[Piece]:
    whole = "".join(line for _, line in found[begin:end])
    if words := whole.strip():
        start = found[begin][0] + len(whole) - len(whole.lstrip())
        said = "\n".join(line.strip() for line in words.splitlines())
        shown = untagged_cue(said)
        if shown.strip():
            block = Block("caption", shown.strip(), "" if shown == said else said, line=begin)
            yield Piece(block, start, start + len(words), lambda new: _written(new, forbidden))


def _written(new: str, forbidden: re.Pattern[str]) -> str:
    """A blank line would end the cue, and in a VTT an arrow is always a time's."""
    kept = "\n".join(line for line in new.split("\n") if line.strip())
    return forbidden.sub("--&gt;", kept)
