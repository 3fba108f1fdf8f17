"""Read a file, and write into it, here and now. `process` does it in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.errors import InputError
from documents import html, markdown, package, plain, subtitles
from documents.document import Block, Document, Format
from documents.limits import ReadingLimits, require_size
from documents.recognition import recognize
from documents.text_source import Piece, decoded, encoded, shown, spliced

PIECES: dict[Format, Callable[[str], Iterable[Piece]]] = {
    "text": plain.pieces,
    "markdown": markdown.pieces,
    "html": html.pieces,
    "srt": subtitles.srt,
    "vtt": subtitles.vtt,
}


def read_here(name: str, raw: bytes, limits: ReadingLimits) -> Document:
    """Read a file.

    Args:
        name: of the file, as it may be shown.

    Raises:
        InputError: it is empty, damaged, locked, too large, or of no format that is read.
    """
    require_size(name, len(raw), limits)
    form, notes = recognize(name, raw)
    pages, encoding = None, ""
    if form in {"docx", "workbook"}:
        notes += package.check(name, raw, limits)
    match form:
        case "pdf":
            from documents import pdf

            blocks, pages, more = pdf.blocks(name, raw, limits)
        case "docx":
            from documents.docx import DocxFile

            file = DocxFile(name, raw)
            blocks, pages, more = list(file.blocks()), file.pages, []
        case "workbook":
            from documents import tables

            blocks, more = tables.workbook_blocks(name, raw, limits)
        case _:
            said = html.charset(raw) if form == "html" else None
            text, encoding, of_encoding = decoded(name, raw, said)
            blocks, more = _text_blocks(name, form, text, limits)
            notes += of_encoding
    size = sum(len(block.text) for block in blocks)
    if not blocks:
        what = "subtitles" if form in {"srt", "vtt"} else "text"
        raise InputError(f"{name} holds no {what}.")
    if size > limits.characters:
        raise InputError(
            f"{name} has {size:,} characters; at most {limits.characters:,} are read. Split it and "
            "attach a part."
        )
    return Document(
        name, form, tuple(blocks), len(raw), pages, (*notes, *more), encoding, source=raw
    )


def write_here(document: Document, texts: Sequence[str]) -> bytes:
    """See `process.write`."""
    if document.format == "docx":
        from documents.docx import DocxFile

        return DocxFile(document.name, document.source).with_texts(texts)
    text = document.source.decode(document.encoding, "surrogateescape")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    pieces = list(PIECES[document.format](text))
    changed = spliced(text, pieces, texts)
    return (
        document.source if changed == text else encoded(changed, document.encoding, document.source)
    )


def _text_blocks(
    name: str, form: Format, text: str, limits: ReadingLimits
) -> tuple[list[Block], list[str]]:
    if form == "table":
        from documents import tables

        return tables.separated_blocks(name, text, limits)
    return list(shown(PIECES[form](text))), []
