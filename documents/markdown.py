"""Markdown, as CommonMark with tables has it: what stands between its block marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from documents.document import Block, BlockKind
from documents.text_source import Piece, lines, unwrapped

FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.S | re.M)
HARD_BREAK = re.compile(r"(?: {2,}|\\)\n")
QUOTE_OR_SPACE = re.compile(r"[^>\s]")


def pieces(text: str) -> Iterator[Piece]:
    """Its blocks; front matter is one of `code`. Where a block's words cannot be found again on
    their lines, the lines are the block as they stand.
    """
    return _Reader(text).pieces()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        # The parser takes \r\n for \n, and its lines are ours only if no lone \r ends one.
        self._lines = lines(text)
        self._front = match.end() if (match := FRONT_MATTER.match(text)) else 0
        self._row = 0

    def pieces(self) -> Iterator[Piece]:
        front = self._text[: self._front]
        if front.strip():
            yield self._whole(Block("code", front.strip(), line=1), 0, len(lines(front)))
        hidden = "".join(
            "\n" if start < self._front else _plain(line) for start, line in self._lines
        )
        parser = MarkdownIt("commonmark").enable("table").disable("inline")
        yield from self._walk(parser.parse(hidden))

    def _walk(self, tokens: Sequence[Token]) -> Iterator[Piece]:
        depth, cursor, parent = 0, 0, None
        for token in tokens:
            begin, end = token.map or (0, 0)
            match token.type:
                case "bullet_list_open" | "ordered_list_open":
                    depth += 1
                case "bullet_list_close" | "ordered_list_close":
                    depth -= 1
                case "tr_open":
                    self._row += 1
                    cursor = self._lines[begin][0]
                case "fence" | "code_block":
                    if token.content.strip():
                        yield self._code(begin + (token.type == "fence"), token.content)
                case "html_block":
                    block = Block("paragraph", token.content.strip(), line=begin + 1)
                    yield self._whole(block, begin, end)
                case "inline" if parent and token.content.strip():
                    if parent.tag in {"th", "td"}:
                        piece = self._cell(token, cursor)
                        cursor = piece.end
                    elif parent.type == "heading_open":
                        piece = self._words(
                            token.content, begin, end, "heading", int(parent.tag[1])
                        )
                    else:
                        kind: BlockKind = "list" if depth else "paragraph"
                        piece = self._words(token.content, begin, end, kind, depth)
                    yield piece
            parent = token

    def _code(self, begin: int, content: str) -> Piece:
        body = content.rstrip("\n")
        first, *more = body.split("\n")
        start, line = self._lines[begin]
        last_start, last = self._lines[begin + len(more)]
        prefix = line[: max(0, line.rfind(first))]
        return Piece(
            Block("code", body, line=begin + 1),
            start + len(prefix),
            last_start + len(last.rstrip("\r\n")),
            lambda new: new.replace("\n", f"\n{prefix}"),
        )

    def _whole(self, block: Block, begin: int, end: int) -> Piece:
        """A block that is its lines, as they stand but for what is around them."""
        raw = "".join(line for _, line in self._lines[begin:end])
        start = self._lines[begin][0] + len(raw) - len(raw.lstrip())
        return Piece(block, start, self._lines[begin][0] + len(raw.rstrip()))

    def _cell(self, token: Token, cursor: int) -> Piece:
        content = token.content.strip()
        written = content.replace("|", "\\|")
        start = self._text.index(written, cursor)
        block = Block("table", content, row=self._row, line=(token.map or [0])[0] + 1)
        return Piece(block, start, start + len(written), _in_cell)

    def _words(self, content: str, begin: int, end: int, kind: BlockKind, level: int) -> Piece:
        hard = [unwrapped(part) for part in HARD_BREAK.split(content)]
        shown = "\n".join(hard)
        mark = "\\\n" if "\\\n" in content else "  \n"
        spans, at = [], begin
        for line in content.split("\n"):
            span = self._find(line.strip(), at)
            if span is None:
                raw = "".join(line for _, line in self._lines[begin:end]).strip()
                return self._whole(Block(kind, raw, level=level, line=begin + 1), begin, end)
            spans.append(span)
            at += 1
        row_start, line = self._lines[begin]
        second = spans[1:2] or [(row_start + len(line), 0)]
        first_prefix = self._text[row_start : spans[0][0]]
        rest = (
            self._text[self._lines[begin + 1][0] : second[0][0]]
            if spans[1:]
            else QUOTE_OR_SPACE.sub(" ", first_prefix)
        )

        def written(new: str) -> str:
            whole = [line.strip() for line in new.split("\n") if line.strip()]
            return f"{mark}{rest}".join(whole) if kind != "heading" else " ".join(whole)

        block = Block(kind, shown, level=level, line=begin + 1)
        return Piece(block, spans[0][0], spans[-1][1], written)

    def _find(self, words: str, at: int) -> tuple[int, int] | None:
        """Where the words end a line, but for closing marks of a heading."""
        if at >= len(self._lines):
            return None
        start, line = self._lines[at]
        place = line.rfind(words)
        return None if place < 0 else (start + place, start + place + len(words))


def _plain(line: str) -> str:
    return line.rstrip("\r\n") + "\n" if line.endswith(("\r", "\n")) else line


def _in_cell(new: str) -> str:
    return " ".join(new.split()).replace("|", "\\|")
