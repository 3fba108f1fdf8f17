"""What was read of a file: blocks in reading order, each with its kind and its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

from pydantic import TypeAdapter

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "caption"]
Format = Literal["pdf", "docx", "markdown", "html", "text", "srt", "vtt", "table", "workbook"]
WRITABLE: frozenset[Format] = frozenset({"docx", "markdown", "html", "text", "srt", "vtt"})


@dataclass(frozen=True)
class Block:
    """A piece of a document that is worked on as a whole.

    Attributes:
        kind: a `table` block is one cell, a `list` block one item, a `caption` that of a figure or
            a subtitle.
        text: what a reader sees. Markdown keeps its inline marks, as they are read as they stand.
        tagged: the same with numbered tags (`<1>bold</1>`, `<2/>`) where the source has inline
            formatting; empty where it has none. See `given`.
        level: of a heading, 1 to 6; of a list item its depth, from 1; else 0.
        row: of a cell: the number of its row in the document, from 1. The cells of a row have the
            same one and follow each other.
        page: from 1, where the format has pages.
        line: of the source, from 1, where the format has lines.
    """

    kind: BlockKind
    text: str
    tagged: str = ""
    level: int = 0
    row: int | None = None
    page: int | None = None
    line: int | None = None

    @property
    def given(self) -> str:
        """What `documents.write` takes in this block's place: the text, with tags if it has any."""
        return self.tagged or self.text


@dataclass(frozen=True)
class Document:
    """A file that was read.

    Attributes:
        name: of the file, for display: no path, no invisible characters.
        blocks: in reading order; none is empty.
        size: of the file, in bytes.
        pages: how many, where the format has pages.
        notes: what a person should know of how it was read, a sentence each.
        encoding: of a text file, for writing it back.
        source: the file itself; empty where only its blocks came along (`from_json`).
    """

    name: str
    format: Format
    blocks: tuple[Block, ...]
    size: int = 0
    pages: int | None = None
    notes: tuple[str, ...] = ()
    encoding: str = ""
    source: bytes = field(default=b"", repr=False)

    @property
    def text(self) -> str:
        """All of it as a reader sees it, the structure in Markdown's signs."""
        return rendered(self.blocks)

    @property
    def writable(self) -> bool:
        """Whether texts can be written back into the file."""
        return self.format in WRITABLE and bool(self.source)

    def to_json(self) -> dict[str, Any]:
        """Plain data without the file itself; what is empty is left out."""
        values = asdict(replace(self, source=b""))
        blocks = [{k: v for k, v in block.items() if v} for block in values.pop("blocks")]
        return {**{k: v for k, v in values.items() if v}, "blocks": blocks}

    @classmethod
    def from_json(cls, values: Any, source: bytes = b"") -> Document:
        """What `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        return replace(_DOCUMENT.validate_python(values), source=source)


_DOCUMENT = TypeAdapter(Document)


def rendered(blocks: Iterable[Block]) -> str:
    """Blocks as one text: a blank line between them, none within a list or a table.

    The cells of a row stand on one line between `|`.
    """
    text, before = "", None
    for (kind, row), group in groupby(blocks, key=lambda block: (block.kind, block.row)):
        for line in [_row(list(group))] if row else map(_line, group):
            close = kind == before and kind in {"list", "table"}
            text += ("\n" if close else "\n\n") * bool(text) + line
            before = kind
    return text


def joined(documents: Sequence[Document]) -> str:
    """The content that several documents are together; the names stand above them, if several."""
    if len(documents) == 1:
        return documents[0].text
    return "\n\n".join(f"{document.name}\n\n{document.text}" for document in documents)


def _line(block: Block) -> str:
    match block.kind:
        case "heading":
            return f"{'#' * max(1, block.level)} {block.text}"
        case "list":
            return f"{'  ' * (max(1, block.level) - 1)}- {block.text}"
        case "code":
            return f"```\n{block.text}\n```"
        case _:
            return block.text


def _row(cells: Sequence[Block]) -> str:
    shown = (cell.text.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(shown)} |"
