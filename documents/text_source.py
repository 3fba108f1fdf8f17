"""A document that is a text: its pieces know where they stand in it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from core.errors import InputError
from documents.document import Block
from tasks import encodings

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef\U00020000-\U0003ffff]")
# Chinese has these between its signs without a space, and they are no CJK of their own.
SHARED = re.compile(r"[\u2014\u2018\u2019\u201c\u201d\u2026\u00b7]")


def as_it_is(text: str) -> str:
    """The text itself."""
    return text


@dataclass(frozen=True)
class Piece:
    """A block and where it stands.

    Attributes:
        start, end: in characters of the whole text.
        written: a new text for the block -> what stands in the source.
    """

    block: Block
    start: int
    end: int
    written: Callable[[str], str] = as_it_is


def decoded(name: str, raw: bytes, encoding: str | None = None) -> tuple[str, str, tuple[str, ...]]:
    """The text of a file, its encoding, and what there is to say of that.

    Args:
        encoding: what the file itself says it is in; not believed where it is not.

    Raises:
        InputError: the encoding cannot be told, or it is no text.
    """
    found = _said(raw, encoding) or _told(name, raw)
    if "\0" in found.text:
        raise InputError(f"{name} is no text: it holds NUL bytes. Attach what it was made from.")
    notes = []
    if not found.encoding.startswith("utf"):
        notes.append(f"{name} is not UTF-8; it was read as {found.encoding}.")
    if place := encodings.broken_byte(found.text):
        notes.append(
            f"{name} holds bytes that are no UTF-8, the first {place[1]:#04x} at byte "
            f"{place[0]:,}: they are shown as �."
        )
    return found.text, found.encoding, tuple(notes)


def encoded(text: str, encoding: str, source: bytes) -> bytes:
    """The text in the encoding of its source, with the mark at its begin if it has one.

    In UTF-8 where that encoding lacks a character.
    """
    for mark, name in encodings.BOMS.items():
        if source.startswith(mark) and name == encoding:
            order = {codecs.BOM_UTF16_BE: "-be", codecs.BOM_UTF32_BE: "-be"}.get(mark, "-le")
            if name == "utf-8-sig":
                return mark + text.encode("utf-8", "surrogateescape")
            return mark + text.encode(name + order, "surrogatepass")
    try:
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def lines(text: str) -> list[tuple[int, str]]:
    """Where each line begins, and the line with its end. They end at \\n, \\r\\n and a lone \\r."""
    return [(match.start(), match.group()) for match in LINE.finditer(text) if match.group()]


def unwrapped(text: str) -> str:
    """A paragraph on one line; between Chinese or Japanese signs nothing stands for a line end."""
    whole = ""
    for line in filter(None, map(str.strip, text.split("\n"))):
        whole = run_on(whole, line)
    return whole


def run_on(before: str, line: str) -> str:
    """A text with one more line of its paragraph."""
    ends = (before[-1:], line[0])
    chinese = any(map(CJK.match, ends)) and all(CJK.match(c) or SHARED.match(c) for c in ends)
    return before + line if not before or chinese else f"{before} {line}"


def spliced(text: str, pieces: Sequence[Piece], texts: Sequence[str]) -> str:
    """The source with new texts in place of those that changed."""
    newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
    parts, end = [], 0
    for piece, new in zip(pieces, texts, strict=True):
        if new != encodings.displayable(piece.block.given):
            parts += [text[end : piece.start], piece.written(new).replace("\n", newline)]
            end = piece.end
    return "".join([*parts, text[end:]])


def shown(pieces: Iterable[Piece]) -> Iterator[Block]:
    """Their blocks, with U+FFFD for bytes that are no UTF-8."""
    for piece in pieces:
        text, tagged = map(encodings.displayable, (piece.block.text, piece.block.tagged))
        yield replace(piece.block, text=text, tagged=tagged)


def _told(name: str, raw: bytes) -> encodings.Decoded:
    try:
        return encodings.decode(name, raw)
    except InputError as error:
        raise InputError(
            f"{name} is not UTF-8, and its bytes do not tell what else it is. Save it as UTF-8 and "
            "attach it again."
        ) from error


def _said(raw: bytes, encoding: str | None) -> encodings.Decoded | None:
    """In the encoding that the file names, where it is there and fits."""
    if encoding is None or any(map(raw.startswith, encodings.BOMS)):
        return None
    try:
        if not raw.isascii():
            return encodings.Decoded(raw.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        return encodings.Decoded(raw.decode(encoding), encoding=encoding.lower())
    except (LookupError, UnicodeDecodeError):
        return None
