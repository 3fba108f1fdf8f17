"""Which format a file has: told by its content, and by its ending where content cannot tell."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePath

from core.errors import InputError
from documents.document import Format

ENDINGS: dict[str, Format] = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".srt": "srt",
    ".vtt": "vtt",
    ".csv": "table",
    ".tsv": "table",
    ".tab": "table",
    ".xlsx": "workbook",
    ".xlsm": "workbook",
}
PACKED: dict[str, Format] = {"word/document.xml": "docx", "xl/workbook.xml": "workbook"}
BINARY: frozenset[Format] = frozenset({"pdf", "docx", "workbook"})
READ = "PDF, DOCX, Markdown, HTML, TXT, SRT, VTT, CSV, TSV or XLSX"
# The first bytes of what people take for a text, and what to do about it.
OTHERS = {
    b"\xd0\xcf\x11\xe0": "a file of an old Office, or one with a password. Save it as DOCX or XLSX",
    b"\x89PNG": "a picture, and pictures are not read. Take its text by OCR",
    b"\xff\xd8\xff": "a picture, and pictures are not read. Take its text by OCR",
    b"GIF8": "a picture, and pictures are not read. Take its text by OCR",
    b"RIFF": "sound or a picture, and holds no text",
    b"ID3": "sound, and sound is not read",
    b"\x1f\x8b": "packed in gzip. Unpack it first",
    b"7z\xbc\xaf": "packed in 7z. Unpack it first",
    b"Rar!": "packed in RAR. Unpack it first",
    b"{\\rtf": "RTF. Save it as DOCX",
    b"\x7fELF": "a program, and holds no text",
    b"MZ": "a program, and holds no text",
}
BINARY_WITHIN = 1024  # bytes in which all of those that begin with letters have a NUL
PDF_WITHIN = 1024  # bytes before a PDF's own beginning; some mail programs put a line there
OTHER_PACKAGES = {
    "ppt/presentation.xml": "a presentation. Save it as PDF",
    "mimetype": "an OpenDocument file or an e-book. Save it as DOCX, XLSX or PDF",
}


def recognize(name: str, raw: bytes) -> tuple[Format, tuple[str, ...]]:
    """The format of a file, and what there is to say of its ending.

    Raises:
        InputError: it is empty, damaged as a whole, or has no format that is read.
    """
    if not raw.strip(b"\0 \t\r\n"):
        raise InputError(f"{name} is empty: it has {len(raw):,} bytes and no text in them.")
    ending = PurePath(name).suffix.lower()
    named = ENDINGS.get(ending)
    found = _by_content(name, raw, named)
    if found is None:
        if named in BINARY:
            raise InputError(
                f"{name} ends in {ending}, and what is in it is something else or damaged. "
                "Save it anew, or give it the ending of what it is."
            )
        return named or "text", ()
    if ending and named != found:
        inside = {"pdf": "a PDF", "docx": "a DOCX", "workbook": "an XLSX workbook"}[found]
        return found, (f"{name} is {inside} by its content, and was read as that.",)
    return found, ()


def _by_content(name: str, raw: bytes, named: Format | None) -> Format | None:
    """A format that its bytes tell; None for a text, which may begin with the same letters.

    Raises:
        InputError: the bytes tell another format.
    """
    if b"%PDF-" in raw[: PDF_WITHIN if named in {None, "pdf"} else 5]:
        return "pdf"
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _packed(name, raw)
    spoken = b"\0" not in raw[:BINARY_WITHIN]
    for begin, what in OTHERS.items():
        if raw.startswith(begin) and not (spoken and begin.isalnum()):
            raise InputError(f"{name} is {what}. Read are {READ}.")
    return None


def _packed(name: str, raw: bytes) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as package:
            names = package.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(
            f"{name} ends in the middle or is damaged: its list of contents is missing. "
            "Copy or download it again."
        ) from error
    for part, found in PACKED.items():
        if part in names:
            return found
    for part, what in OTHER_PACKAGES.items():
        if part in names:
            raise InputError(f"{name} is {what}. Read are {READ}.")
    raise InputError(f"{name} is a packed folder. Unpack it and attach what is in it: {READ}.")
