"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from documents.document import Block
from documents.text_source import Piece, lines


def pieces(text: str) -> Iterator[Piece]:
    """Its paragraphs; their line ends stay, as they may be a poem's."""
    numbered = enumerate(lines(text), 1)
    for blank, group in groupby(numbered, key=lambda numbered: not numbered[1][1].strip()):
        if blank:
            continue
        paragraph = list(group)
        number, (start, first) = paragraph[0]
        whole = "".join(line for _, (_, line) in paragraph)
        start += len(first) - len(first.lstrip())
        shown = whole.strip()
        said = "\n".join(shown.splitlines()) if "\r" in shown else shown
        yield Piece(Block("paragraph", said, line=number), start, start + len(shown))
