"""A DOCX or XLSX as a zip of XML parts: opened with care, and parts of it replaced."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from lxml import etree

from core.errors import InputError
from documents.limits import ReadingLimits

MAX_PARTS = 10_000
PACKED_MOST = 200  # times that XML shrinks when packed; more is a bomb
LARGE = 10_000_000  # bytes from which that matters


def check(name: str, raw: bytes, limits: ReadingLimits) -> tuple[str, ...]:
    """See that a package can be unpacked and parsed; what there is to say of it.

    Raises:
        InputError: it is locked, damaged, unpacks to too much, or declares entities.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as package:
            parts = package.infolist()
            unpacked = sum(part.file_size for part in parts)
            if (
                len(parts) > MAX_PARTS
                or unpacked > limits.unpacked_bytes
                or unpacked > max(LARGE, PACKED_MOST * len(raw))
            ):
                raise InputError(
                    f"{name} has {len(raw):,} bytes and would unpack to {unpacked:,} in "
                    f"{len(parts):,} parts; at most {limits.unpacked_bytes:,} are unpacked. "
                    "Save it anew, without what makes it so large."
                )
            for part in parts:
                if part.flag_bits & 1:
                    raise InputError(f"{name} is locked with a password. Save it without one.")
                if part.filename.endswith((".xml", ".rels")):
                    _refuse_entities(name, package.read(part))
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise damaged(name) from error
    names = {part.filename.rpartition("/")[2] for part in parts}
    return (f"{name} has macros; they are not read, and not run.",) * ("vbaProject.bin" in names)


def damaged(name: str) -> InputError:
    """What to say of a package that cannot be unpacked or parsed."""
    return InputError(
        f"{name} is damaged: not all of it can be unpacked. Copy or download it again."
    )


def parse(name: str, part: bytes) -> etree._Element:
    """The tree of an XML part.

    Raises:
        InputError: it is no XML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(part, parser)
    except etree.XMLSyntaxError as error:
        raise damaged(name) from error


def replaced(raw: bytes, parts: Mapping[str, bytes]) -> bytes:
    """The package with some parts replaced, all others as they were."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(target, "w") as new:
        for part in old.infolist():
            new.writestr(part, parts.get(part.filename, old.read(part)))
    return target.getvalue()


def _refuse_entities(name: str, part: bytes) -> None:
    """Office writes no document type, and entities serve attacks alone (billion laughs, XXE)."""
    head = part.replace(b"\0", b"")  # in UTF-16 too
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise InputError(
            f"{name} declares XML entities, which no Office program writes. Save it anew in yours."
        )
