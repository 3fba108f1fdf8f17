"""What was read of a file: blocks in reading order, each with its kind and its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

from pydantic import TypeAdapter

from documents.inline_tags import untagged, untagged_cue

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

    def untagged(self, block: Block, given: str) -> str:
        """What a reader sees of a text that is to stand in a block's place."""
        if not block.tagged:
            return given
        of_cue = self.format in {"srt", "vtt"}
        return untagged_cue(given) if of_cue else untagged(given)

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


@dataclass(frozen=True)
class Framed:
    """A block within the text of a document: what stands before and behind its own text."""

    before: str
    block: Block
    after: str

    def around(self, text: str) -> str:
        """That text in the block's place."""
        if self.block.kind == "table":
            text = text.replace("|", "\\|").replace("\n", " ")
        return f"{self.before}{text}{self.after}"


def framed(blocks: Iterable[Block]) -> Iterator[Framed]:
    """Blocks as one text: a blank line between them, none within a list or a table.

    The cells of a row stand on one line between `|`.
    """
    before: BlockKind | None = None
    for (kind, row), group in groupby(blocks, key=lambda block: (block.kind, block.row)):
        members = list(group)
        for number, block in enumerate(members):
            close = kind == before and kind in {"list", "table"}
            apart = "" if before is None else "\n" if close else "\n\n"
            begin, end = _marks(block)
            if row:
                apart, begin = (apart, "| ") if number == 0 else ("", " | ")
                end = " |" if number == len(members) - 1 else ""
            yield Framed(apart + begin, block, end)
            before = kind


def rendered(blocks: Iterable[Block]) -> str:
    """Blocks as one text, see `framed`."""
    return "".join(one.around(one.block.text) for one in framed(blocks))


def framed_together(documents: Sequence[Document]) -> Iterator[Framed]:
    """The blocks of several documents as one text; the names stand above them, if several."""
    for number, document in enumerate(documents):
        apart = "\n\n" if number else ""
        above = f"{apart}{document.name}\n\n" if len(documents) > 1 else ""
        for one in framed(document.blocks):
            yield replace(one, before=above + one.before)
            above = ""


def joined(documents: Sequence[Document]) -> str:
    """The content that several documents are together, see `framed_together`."""
    return "".join(one.around(one.block.text) for one in framed_together(documents))


def _marks(block: Block) -> tuple[str, str]:
    """What Markdown has around such a block."""
    match block.kind:
        case "heading":
            return f"{'#' * max(1, block.level)} ", ""
        case "list":
            return f"{'  ' * (max(1, block.level) - 1)}- ", ""
        case "code":
            return "```\n", "\n```"
        case _:
            return "", ""
