"""A file that was worked on, written in the format that it came in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from core.terminal import aside
from documents import WRITABLE, Document, write


def require_writable(documents: Sequence[Document], output: Path) -> None:
    """See, before anything is worked on, that a result can be written.

    Raises:
        InputError: there is not one file of a format that is written, or the output is there.
    """
    if len(documents) != 1:
        raise InputError(f"--output is for one --file, and {len(documents)} were given.")
    document = documents[0]
    if document.format not in WRITABLE:
        raise InputError(
            f"{document.name} cannot be written anew: DOCX, Markdown, HTML, TXT, SRT and VTT can. "
            "Leave --output out. A table goes through: python -m agent batch"
        )
    if output.exists():
        raise InputError(f"{output} is there already. Name another --output, or move it away.")
    if not output.parent.is_dir():
        raise InputError(f"{output.parent} is no folder. Make it, or name another --output.")


def completed(document: Document, texts: Sequence[str]) -> list[str]:
    """A text for each block: its own where the work was cut short before it."""
    return [*texts, *(block.given for block in document.blocks[len(texts) :])]


def write_output(document: Document, texts: Sequence[str], output: Path) -> None:
    """Write the file with the texts that its blocks have become.

    Raises:
        InputError: there are none, or the output cannot be written.
    """
    if not texts:
        raise InputError(
            f"{output} was not written: the answer is not {document.name} in other words. --output "
            'is for a request like "Translate into French".'
        )
    raw = write(document, completed(document, texts))
    try:
        with output.open("xb") as file:
            file.write(raw)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
    aside(f"{output} is written.")
    if missing := len(document.blocks) - len(texts):
        aside(f"Its last {missing:,} of {len(document.blocks):,} blocks stand as they came.")
